import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';

/** Which rooms each room may import, besides itself; `core` stands below all. `src/README.md` shows the picture. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  core: [],
  system: ['core'],
  storage: ['system', 'core'],
  repository: ['storage', 'system', 'core'],
  archiver: ['repository', 'storage', 'system', 'core'],
  postgres: ['system', 'core'],
  landscape: ['system', 'core'],
  juju: ['system', 'core'],
  jobs: ['archiver', 'repository', 'storage', 'postgres', 'landscape', 'system', 'core'],
  hooks: ['juju', 'repository', 'postgres', 'landscape', 'system', 'core'],
  actions: ['hooks', 'juju', 'repository', 'postgres', 'landscape', 'system', 'core'],
  commands: ['jobs', 'repository', 'storage', 'postgres', 'system', 'core'],
  main: [
    'commands',
    'hooks',
    'actions',
    'juju',
    'jobs',
    'archiver',
    'repository',
    'storage',
    'postgres',
    'landscape',
    'system',
    'core',
  ],
  packaging: ['system', 'core'],
};

/** Packages and built-in modules that only some files may use. */
const reserved: readonly { readonly module: RegExp; readonly allowed: RegExp; readonly why: string }[] = [
  {
    module: /^(node:)?child_process$|^execa$/,
    allowed: /^system\/process\.ts$/,
    why: 'processes are started in system/process.ts',
  },
  { module: /^(node:)?(net|tls|http|https|http2|dgram)$/, allowed: /^storage\//, why: 'the network is for storage' },
  { module: /^pg$/, allowed: /^postgres\//, why: 'SQL is asked in postgres' },
  { module: /^(node:)?process$/, allowed: /^$/, why: 'the process is the global one, so that its words are found' },
  { module: /^commander$/, allowed: /^(commands|main)\//, why: 'the command line is read in commands' },
  { module: /^esbuild$/, allowed: /^packaging\//, why: 'bundles are built in packaging' },
];

/** Words that only some files may use. */
const reservedWords: readonly { readonly word: RegExp; readonly allowed: RegExp; readonly why: string }[] = [
  {
    word: /\bprocess\.env\b|\bprocess\s*\[/,
    allowed: /^system\/environment\.ts$/,
    why: 'environment variables are read in system/environment.ts',
  },
  {
    word: /\bprocess\.(argv|exit|exitCode)\b/,
    allowed: /^(main|packaging)\//,
    why: 'arguments and exit codes belong to main',
  },
  {
    word: /\bDate\.now\b|\bnew Date(?!\w|\([^)])|\bMath\.random\b|\b(process|performance|crypto|globalThis)\b[.[]|\b(setTimeout|setInterval|fetch)\(/,
    allowed: /^(?!core\/)/,
    why: 'core asks no clock, no chance and no machine',
  },
];

/** A file with its text, its path relative to `src/`. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

/** All TypeScript files below a folder. */
export async function readSources(root: string): Promise<readonly Source[]> {
  const names = await readdir(root, { recursive: true });
  const files = names.filter((name) => name.endsWith('.ts')).sort();
  return await Promise.all(files.map(async (path) => ({ path, text: await readFile(join(root, path), 'utf8') })));
}

/** Says every place where the sources break an arrow, one sentence each. */
export function findBrokenArrows(sources: readonly Source[]): readonly string[] {
  return sources.flatMap((source) => [...brokenImports(source), ...brokenWords(source)]);
}

function importsOf(text: string): readonly string[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g;
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

function brokenImports({ path, text }: Source): readonly string[] {
  const room = path.split('/')[0] ?? '';
  const allowed = arrows[room];
  if (allowed === undefined) return [`src/${path} lies in no room of the map`];
  return importsOf(text).flatMap((module) => {
    if (module.startsWith('.')) {
      const target = normalize(join(dirname(path), module));
      if (target.startsWith('..')) return [`src/${path} imports ${module}, outside src`];
      const other = target.split('/')[0] ?? '';
      return other === room || allowed.includes(other)
        ? []
        : [`src/${path} imports ${target}: ${room} may not know ${other}`];
    }
    if (room === 'core' && !/^(zod|croner)$/.test(module)) return [`src/${path} imports ${module}: core is pure`];
    return reserved.flatMap((rule) =>
      rule.module.test(module) && !rule.allowed.test(path) ? [`src/${path} imports ${module}: ${rule.why}`] : [],
    );
  });
}

/**
 * The code of a file without comments and without the contents of strings. What opens first wins, so that neither a string
 * with a comment's marks in it nor a comment with an apostrophe hides the code behind it.
 */
function codeOf(text: string): string {
  const quiet = /\/\*[\s\S]*?\*\/|(?<![:\\])\/\/.*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g;
  return text.replaceAll(quiet, (match) => (match.startsWith('/') ? ' ' : "''"));
}

function brokenWords({ path, text }: Source): readonly string[] {
  const code = codeOf(text);
  return reservedWords.flatMap(({ word, allowed, why }) => {
    const found = word.exec(code);
    return found !== null && !allowed.test(path) ? [`src/${path} says ${found[0]}: ${why}`] : [];
  });
}
