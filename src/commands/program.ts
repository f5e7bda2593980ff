import { Command, CommanderError, Option } from 'commander';
import { exitCodes, Failure } from '../core/failure.ts';
import type { Context, RootContext } from './context.ts';
import { formats, type Format, type Result } from './output.ts';

/** The options that every verb takes. */
interface GlobalOptions {
  readonly home?: string;
  readonly cluster?: string;
  readonly format: Format;
}

/** How a verb is called. */
interface VerbShape {
  readonly name: string;
  readonly summary: string;
  /** Shown below the options in `--help`: what it does, what to do next, examples. */
  readonly help: string;
  readonly arguments?: readonly { readonly name: string; readonly description: string }[];
  readonly options?: readonly Option[];
}

/** A verb about one cluster: it runs as the cluster's owner, whom root's process becomes. */
interface OwnerVerb extends VerbShape {
  readonly as?: 'owner';
  run(context: Context, options: Readonly<Record<string, unknown>>, args: readonly string[]): Promise<Result>;
}

/** A verb about the machine: it runs as root and needs no cluster. */
interface RootVerb extends VerbShape {
  readonly as: 'root';
  run(context: RootContext, options: Readonly<Record<string, unknown>>, args: readonly string[]): Promise<Result>;
}

/** A verb as its file gives it: how it is called and what it does. */
export type Verb = OwnerVerb | RootVerb;

/** What the command line asks for, parsed but not yet run. */
export interface Request {
  readonly verb: Verb;
  readonly global: GlobalOptions;
  readonly options: Readonly<Record<string, unknown>>;
  readonly args: readonly string[];
}

const overview = `
Every verb takes --cluster, --format and --home, and explains itself: landscape-backup restore --help

At three in the morning:
  landscape-backup status                      what is wrong, and the next step
  landscape-backup list-backups                what can be restored, from when to when
  landscape-backup restore --to time=2026-11-24T02:59:00Z
                                               prints the plan and changes nothing; --confirm=<plan id> runs it

Exit codes: 0 done, ${Object.entries(exitCodes)
  .map(([kind, code]) => `${code} ${kind}`)
  .join(', ')}`;

/** Parses the command line. `text` is what to print when it was a question for help. Fails with `usage`. */
export function parseCommandLine(
  verbs: readonly Verb[],
  version: string,
  argv: readonly string[],
): Request | { readonly text: string } {
  let request: Request | undefined;
  let text = '';
  const program = new Command('landscape-backup')
    .description('Keeps a PostgreSQL cluster restorable to any second, and proves it.')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'explain the command or a verb')
    .addHelpText('after', overview)
    .showHelpAfterError(false);
  for (const verb of verbs) {
    const command = program
      .command(verb.name)
      .summary(verb.summary)
      .description(verb.summary)
      .addHelpText('after', `\n${verb.help}`);
    for (const argument of verb.arguments ?? []) command.argument(`<${argument.name}>`, argument.description);
    for (const option of [...(verb.options ?? []), ...globalOptions()]) command.addOption(option);
    command.action((...called: unknown[]) => {
      const args = called.slice(0, verb.arguments?.length ?? 0).map(String);
      request = { verb, global: command.opts<GlobalOptions>(), options: command.opts(), args };
    });
  }
  const keep = (said: string) => {
    text += said;
  };
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeOut: keep, writeErr: () => undefined });
  }
  try {
    program.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { text };
    if (error.code === 'commander.help') return { text: program.helpInformation() + overview };
    throw usage(error);
  }
  return request ?? { text: program.helpInformation() };
}

function usage(error: CommanderError): Failure {
  return new Failure('usage', error.message.replace(/^error: /, ''), {
    hint: 'landscape-backup --help lists the verbs; landscape-backup <verb> --help explains one.',
  });
}

function globalOptions(): readonly Option[] {
  return [
    new Option('--cluster <version/name>', 'the cluster that is meant, as pg_lsclusters shows it: 15/main'),
    new Option('--format <format>', 'how to tell the result').choices(formats).default('text'),
    new Option(
      '--home <directory>',
      'where settings and local state live (default: /var/lib/landscape-backup, or the only unit below it)',
    ),
  ];
}

/** Reads an option that may be left out. */
export function textOption(options: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}

/** Reads a flag. */
export function flag(options: Readonly<Record<string, unknown>>, name: string): boolean {
  return options[name] === true;
}

/** Reads an option that is a positive whole number. Fails with `usage` and names it. */
export function numberOption(
  options: Readonly<Record<string, unknown>>,
  name: string,
  shown: string,
): number | undefined {
  const value = textOption(options, name);
  if (value === undefined) return undefined;
  if (/^[1-9]\d{0,9}$/.test(value)) return Number(value);
  throw new Failure('usage', `option ${shown} is "${value}", it must be a whole number from 1 on`);
}
