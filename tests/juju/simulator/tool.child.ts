/**
 * A hook tool, or juju-exec, by the name that it is called by: it asks the agent's socket and ends as the agent says.
 *
 * It is put beside its sockets without types, and starts for every call: it uses nothing but Node.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, join } from 'node:path';

const tool = basename(process.argv[1] ?? '');
const args = process.argv.slice(2);
const contextId = process.env['JUJU_CONTEXT_ID'] ?? '';
const isExec = tool === 'juju-exec' || tool === 'juju-run';
const socket = isExec ? join(import.meta.dirname, '..', 'run.socket') : process.env['JUJU_AGENT_SOCKET_ADDRESS'];

function end(exitCode: number, stdout: string, stderr: string): void {
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exitCode = exitCode;
}

/** What stands in the file of --file; a tool that has none reads no input. */
function readInput(): string | undefined {
  const at = args.findIndex((text) => text === '--file' || text.startsWith('--file='));
  const dashes = args.indexOf('--');
  if (isExec || at < 0 || (dashes >= 0 && dashes < at)) return undefined;
  const name = args[at] === '--file' ? args[at + 1] : args[at]?.slice('--file='.length);
  return name === undefined ? undefined : readFileSync(name === '-' ? 0 : name, 'utf8');
}

function ask(path: string): void {
  const connection = connect(path);
  let said = '';
  connection.setEncoding('utf8');
  connection.on('data', (text: string) => (said += text));
  connection.on('error', (error) => {
    end(1, '', `ERROR dial unix ${path}: ${error.message}\n`);
  });
  connection.on('end', () => {
    const answer: { exitCode: number; stdout: string; stderr: string } = JSON.parse(said);
    end(answer.exitCode, answer.stdout, answer.stderr);
  });
  connection.write(`${JSON.stringify({ tool, args, contextId, input: readInput() })}\n`);
}

if (isExec && contextId !== '') {
  end(1, '', `ERROR ${tool} cannot be called from within a hook, have context "${contextId}"\n`);
} else if (!isExec && contextId === '') end(1, '', 'ERROR JUJU_CONTEXT_ID not set\n');
else if (socket === undefined || socket === '') end(1, '', 'ERROR JUJU_AGENT_SOCKET_ADDRESS not set\n');
else ask(socket);
