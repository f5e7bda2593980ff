import { hasUserSecrets } from './juju-secrets.ts';

/** Whom an operator talks to: commands differ between Juju 2.9 and 3. */
export interface Addressee {
  /** `landscape-backup/0`. */
  readonly unit: string;
  /** `3.6.27`, as Juju says it. */
  readonly jujuVersion: string;
}

/** The verbs of `landscape-backup` that are actions of the same name. */
const actionVerbs = [
  'backup',
  'list-backups',
  'restore',
  'abandon-restore',
  'remove-old',
  'init',
  'check',
  'prune',
  'rewrap',
  'create-restore-point',
  'take-over',
  'status',
] as const;

/** What an operator types to run an action: `juju run landscape-backup/0 backup label=x`, on 2.9 `juju run-action … --wait`. */
export function jujuRun({ unit, jujuVersion }: Addressee, action: string, ...params: readonly string[]): string {
  const words = [unit, action, ...params].join(' ');
  return jujuVersion.startsWith('2.') ? `juju run-action ${words} --wait` : `juju run ${words}`;
}

/** What an operator types to run an action of another charm, that of our principal. */
export function principalRun(jujuVersion: string, principal: string, action: string): string {
  return jujuRun({ unit: principal, jujuVersion }, action);
}

/** What an operator types to run something on a unit's machine. */
function jujuSsh({ unit }: Addressee, command: string): string {
  return `juju ssh ${unit} sudo ${command}`;
}

const sentence = new RegExp(
  String.raw`landscape-backup ([a-z]+(?:-[a-z]+)*)((?: --[a-z-]+(?:[= ](?:<[^>]*>|[\w./:=+-]*[\w/]))?)*)`,
  'g',
);

/**
 * Says the commands in a text as an operator of Juju types them: `landscape-backup restore --in-place` becomes
 * `juju run landscape-backup/0 restore in-place=true`; what is no action goes through `juju ssh`.
 */
export function inJujuWords(text: string, to: Addressee): string {
  const commands = text.replaceAll(sentence, (whole: string, verb: string, options: string) => {
    const action = filesActions.get(verb) ?? verb;
    if (!isAction(action)) return isVerb(verb) ? jujuSsh(to, whole) : whole;
    return jujuRun(to, action, ...paramsOf(options));
  });
  const application = to.unit.slice(0, to.unit.lastIndexOf('/'));
  const identity = hasUserSecrets(to.jujuVersion) ? 'identity=secret:<id>' : 'identity=<path of the file on the unit>';
  return setByJuju(commands.replaceAll('--identity-file=<file>', identity), application);
}

/** Says in a text how an operator of Juju sets an option. */
export function setByJuju(text: string, application: string): string {
  return text
    .replaceAll(option, `juju config ${application} $1=$2`)
    .replaceAll(fingerprints, `juju config ${application} encryption-confirmed='$1'`);
}

/** `set encryption-confirmed to: <16 letters> <16 letters>`. */
const fingerprints = /\bset encryption-confirmed to: ([0-9a-z]{16}(?: [0-9a-z]{16})*)/g;

/** `set restart-postgresql to true`. */
const option = /\b[Ss]et ([a-z]+-[a-z]+) to (true|false|\d+)\b/g;

function isAction(verb: string): boolean {
  return actionVerbs.some((each) => each === verb);
}

/** Verbs for a Landscape unit's files, and the action that does it there. */
const filesActions: ReadonlyMap<string, string> = new Map([
  ['backup-files', 'backup'],
  ['check-files', 'check'],
  ['init-files', 'init'],
  ['remove-old-files', 'remove-old'],
  ['rewrap-files', 'rewrap'],
]);

/** Verbs that only root's shell knows. */
const shellVerbs = [
  'run-due',
  'leave',
  'configure',
  'facts',
  'list-files',
  'landscape-facts',
  'restore-files',
  'landscape-check',
  'quiesce',
  'verify-files',
  'resume',
  'abandon-files',
  'unfence',
  'run-due-files',
] as const;

/** Words that follow the product's name in a sentence without being a command. */
function isVerb(verb: string): boolean {
  return shellVerbs.some((each) => each === verb);
}

function paramsOf(options: string): readonly string[] {
  const found = options.matchAll(/--([a-z-]+)(?:[= ](<[^>]*>|[\w./:=+-]+))?/g);
  // Going on with a restore is confirming it again; Juju has no word of its own for it.
  return [...found]
    .filter(([, name = '']) => !['cluster', 'home', 'format'].includes(name))
    .map(([, name = '', value]) => (name === 'continue' ? 'confirm=<plan id>' : `${name}=${value ?? 'true'}`));
}
