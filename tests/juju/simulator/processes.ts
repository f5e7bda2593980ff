import { constants } from 'node:fs';
import { access, chmod, copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { contextId } from './agent.ts';
import { HookContext } from './context.ts';
import { deployFiles } from './deploy-files.ts';
import { executeHere, type Execute, type Executed } from './execute.ts';
import { hookVariables, type UnitPlaces } from './hook-variables.ts';
import type { Ending, Runner } from './runner.ts';
import type { HookOperation, MachineState, Task, UnitState } from './state.ts';
import { runTool, toolNames, type ToolAnswer } from './tool-programs.ts';

/** How processes are run. */
export interface ProcessOptions {
  /** A short path: what is /var/lib/juju on machines, one folder for each of them. */
  readonly directory: string;
  /** Runs programs on a machine; here unless given. */
  readonly execute?: (machine: MachineState) => Execute;
  /** How a machine sees its folder, where that is mounted elsewhere, as at /var/lib/juju. */
  readonly seenAs?: (machine: MachineState) => string;
  /** The PATH behind the tools. `juju-exec` lies in `bin` of a machine's folder. */
  readonly agentPath?: string;
}

const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a tool asks, as `juju-tool` writes it. */
interface Request {
  readonly tool: string;
  readonly args: readonly string[];
  readonly contextId: string;
  readonly input: string | undefined;
}

interface Host {
  readonly directory: string;
  readonly seen: string;
  readonly units: Map<string, { readonly unit: UnitState; readonly pump: () => void }>;
}

/** Runs charms as Juju does: `dispatch` with a clean environment, tools as programs on the PATH. Closed at the end. */
export class ProcessFace {
  readonly #options: ProcessOptions;
  readonly #hosts = new Map<MachineState, Promise<Host>>();
  readonly #servers = new Map<string, Server>();
  readonly #manifests = new Map<UnitState, readonly string[]>();

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  /** The folder of a machine, on this one. */
  directoryOf(machine: MachineState): string {
    return join(this.#options.directory, `${machine.model.name}-${machine.id}`);
  }

  /** Where a unit's charm lies, as the unit sees it. */
  charmDirectoryOf(unit: UnitState): string {
    return placesOf(this.#seen(unit.machine), unit).charm;
  }

  /** How units of an application run the charm of a directory. */
  runner(charmDirectory: string, pump: () => void): Runner {
    return {
      deploy: async (unit) => {
        const host = await this.#host(unit.machine);
        const places = placesOf(host.directory, unit);
        const before = this.#manifests.get(unit) ?? [];
        this.#manifests.set(unit, await deployFiles(charmDirectory, places.charm, before));
        host.units.set(unit.name, { unit, pump });
        if (this.#servers.has(places.socket)) return;
        await this.#placeTools(unit, places.tools);
        await this.#serve(places.socket, async (request) => await answerTool(unit, places.socket, request));
      },
      run: async (context, operation) => await this.#runCharm(context, operation),
      remove: async (unit) => {
        const host = await this.#host(unit.machine);
        const places = placesOf(host.directory, unit);
        host.units.delete(unit.name);
        this.#manifests.delete(unit);
        this.#servers.get(places.socket)?.close();
        this.#servers.delete(places.socket);
        await rm(join(host.directory, 'agents', unit.tag), { recursive: true, force: true });
        await rm(places.tools, { recursive: true, force: true });
      },
    };
  }

  /** Closes all sockets. */
  async close(): Promise<void> {
    const all = [...this.#servers.values()];
    this.#servers.clear();
    await Promise.all(all.map(async (server) => await new Promise((resolve) => server.close(resolve))));
  }

  #seen(machine: MachineState): string {
    return this.#options.seenAs?.(machine) ?? this.directoryOf(machine);
  }

  async #host(machine: MachineState): Promise<Host> {
    const made = this.#hosts.get(machine) ?? this.#makeHost(machine);
    this.#hosts.set(machine, made);
    return await made;
  }

  async #makeHost(machine: MachineState): Promise<Host> {
    const directory = this.directoryOf(machine);
    const host: Host = { directory, seen: this.#seen(machine), units: new Map() };
    for (const name of ['agents', 'tools', 'bin']) await mkdir(join(directory, name), { recursive: true });
    await copyFile(join(import.meta.dirname, 'juju-tool'), join(directory, 'tools', 'juju-tool'));
    await chmod(join(directory, 'tools', 'juju-tool'), 0o755);
    await symlink('../tools/juju-tool', join(directory, 'bin', machine.model.behaviour.execProgram));
    await this.#serve(join(directory, 'run.socket'), async (request) => await this.#runCommand(host, request));
    return host;
  }

  async #placeTools(unit: UnitState, directory: string): Promise<void> {
    await mkdir(directory, { recursive: true });
    for (const name of toolNames(unit.application.model.behaviour)) {
      await symlink('../juju-tool', join(directory, name));
    }
  }

  async #serve(path: string, answer: (request: Request) => Promise<ToolAnswer>): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (connection) => {
      const said: Buffer[] = [];
      // A program that was killed does not hear its answer.
      connection.on('error', () => undefined);
      connection.on('data', (bytes: Buffer) => said.push(bytes));
      connection.on('end', () => {
        void answer(parseRequest(Buffer.concat(said).toString())).then(({ exitCode, stdout, stderr }) =>
          connection.end(`${exitCode} ${Buffer.byteLength(stdout)}\n${stdout}${stderr}`),
        );
      });
    });
    await rm(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    this.#servers.set(path, server);
  }

  async #runCharm(context: HookContext, operation: HookOperation | Task): Promise<Ending> {
    const { unit } = context;
    const host = await this.#host(unit.machine);
    const path = `${operation.kind === 'action' ? 'actions' : 'hooks'}/${operation.name}`;
    const program = await handlerOf(placesOf(host.directory, unit).charm, path);
    if (program === undefined) return { how: 'missing' };
    const { executed, why } = await this.#execute(context, host, [program], operation);
    logOutput(unit, executed);
    if (why === 'agent') return { how: 'crash' };
    if (why === 'abort') return { how: 'abort', stdout: executed.stdout, stderr: executed.stderr };
    return { how: 'exit', exitCode: executed.exitCode ?? -1, stdout: executed.stdout, stderr: executed.stderr };
  }

  /** Runs a program in a context. A relative program lies in the charm. */
  async #execute(
    context: HookContext,
    host: Host,
    [program = '', ...args]: readonly string[],
    operation: HookOperation | Task | undefined,
  ): Promise<{ executed: Executed; why: 'abort' | 'agent' | undefined }> {
    const { unit } = context;
    const places = placesOf(host.seen, unit);
    const agentPath = this.#options.agentPath ?? systemPath;
    const controller = new AbortController();
    let why: 'abort' | 'agent' | undefined;
    context.interrupt = (reason) => {
      why = reason;
      controller.abort(reason);
    };
    const execute = this.#options.execute?.(unit.machine) ?? executeHere;
    const argv = [program.startsWith('/') ? program : join(places.charm, program), ...args];
    const env = hookVariables(context, places, agentPath, operation);
    try {
      return { executed: await execute(argv, { env, cwd: places.charm, signal: controller.signal }), why };
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      return { executed: { exitCode: 1, signal: null, stdout: '', stderr: `${said}\n` }, why };
    } finally {
      context.interrupt = undefined;
    }
  }

  async #runCommand(host: Host, { tool, args }: Request): Promise<ToolAnswer> {
    const [name, script] = args[0] === '-u' || args[0] === '--unit' ? args.slice(1) : args;
    if (name === undefined) return error(2, 'missing unit-name');
    if (script === undefined) return error(2, 'missing commands');
    const found = host.units.get(name) ?? [...host.units.values()].find(({ unit }) => unit.tag === name);
    if (found === undefined) return error(1, `unit ${name} not found on this machine`);
    const { unit, pump } = found;
    return await new Promise((resolve) => {
      const run = async (): Promise<void> => {
        const context = new HookContext(contextId(unit, tool), unit, { kind: 'command' });
        unit.context = context;
        const { executed, why } = await this.#execute(context, host, ['/bin/bash', '-c', script], undefined);
        // What a command wrote is committed whatever its exit code.
        if (why === undefined) context.commit();
        context.close();
        logOutput(unit, executed);
        resolve({ exitCode: executed.exitCode ?? 1, stdout: executed.stdout, stderr: executed.stderr });
      };
      unit.commands.push({ kind: 'command', eager: true, run });
      pump();
    });
  }
}

function parseRequest(text: string): Request {
  const [tool = '', id = '', hasInput, input, ...args] = text.split('\0');
  return { tool, args, contextId: id, input: hasInput === 'yes' ? input : undefined };
}

function error(exitCode: number, message: string): ToolAnswer {
  return { exitCode, stdout: '', stderr: `ERROR ${message}\n` };
}

async function answerTool(
  unit: UnitState,
  socket: string,
  { tool, args, contextId: id, input }: Request,
): Promise<ToolAnswer> {
  const { context } = unit;
  if (context === undefined || !context.isOpen) return error(1, `dial unix ${socket}: connect: connection refused`);
  if (context.id !== id) return error(1, `bad request: expected context id "${context.id}", got "${id}"`);
  return runTool(context, tool, args, input);
}

function placesOf(directory: string, unit: UnitState): UnitPlaces {
  return {
    charm: join(directory, 'agents', unit.tag, 'charm'),
    tools: join(directory, 'tools', unit.tag),
    socket: join(directory, 'agents', unit.tag, 'agent.socket'),
  };
}

/** The charm's program for a hook or an action: `dispatch` for everything, or one of its own. */
async function handlerOf(charm: string, path: string): Promise<string | undefined> {
  for (const name of ['dispatch', path]) {
    try {
      await access(join(charm, name), constants.F_OK);
      return name;
    } catch {
      continue;
    }
  }
  return undefined;
}

const lineLimit = 4096;

/** What the charm prints goes to the unit's log, line by line. */
function logOutput(unit: UnitState, { stdout, stderr }: Executed): void {
  for (const [level, text] of [['DEBUG', stdout] as const, ['WARNING', stderr] as const]) {
    for (const line of text.split('\n')) {
      for (let at = 0; at < line.length; at += lineLimit)
        unit.log.push({ level, text: line.slice(at, at + lineLimit) });
    }
  }
}
