/**
 * Juju's rules for a charm's archive, and what charmcraft's linters add, as far as this charm touches them.
 *
 * Sources: juju/charm v12 charmarchive.go, meta.go, manifest.go, config.go, actions.go; juju/utils zip.go; charmcraft
 * linters.py.
 */
import { load } from 'js-yaml';
import { posix } from 'node:path';
import { findActionFaults } from './action-rules.ts';
import { isRecord, type Mapping } from './mapping.ts';
import { findMetadataFaults } from './metadata-rules.ts';

/** One entry of the zip. */
export interface CharmEntry {
  /** As it stands in the zip: Juju compares it exactly. */
  readonly name: string;
  /** The unix mode, file type included. */
  readonly mode: number;
  /** `undefined` for a large file. */
  readonly text: string | undefined;
}

const kinds = { file: 0o100000, folder: 0o040000, link: 0o120000 };

/** Says every rule that a charm breaks, one sentence each. */
export function findCharmFaults(entries: readonly CharmEntry[]): readonly string[] {
  const yaml = (name: string): Mapping | undefined => {
    const text = entries.find((entry) => entry.name === name)?.text;
    const value = text === undefined ? undefined : load(text);
    return isRecord(value) ? value : undefined;
  };
  const metadata = yaml('metadata.yaml');
  const manifest = yaml('manifest.yaml');
  return [
    ...entries.flatMap((entry) => entryFaults(entry)),
    ...repeated(entries.map(({ name }) => name)).map((name) => `${name} is there twice`),
    ...entrypointFaults(entries),
    ...(metadata === undefined ? ['metadata.yaml is missing'] : findMetadataFaults(metadata, manifest)),
    ...manifestFaults(manifest),
    ...configFaults(yaml('config.yaml')),
    ...findActionFaults(yaml('actions.yaml') ?? {}),
    ...versionFaults(entries),
  ];
}

function repeated(names: readonly string[]): readonly string[] {
  return names.filter((name, index) => names.indexOf(name) !== index);
}

function entryFaults({ name, mode, text }: CharmEntry): readonly string[] {
  const faults: string[] = [];
  const plain = name.replace(/\/$/, '');
  if (name.startsWith('/') || posix.normalize(plain) !== plain || plain.startsWith('..') || name.includes('\\')) {
    faults.push(`the name ${name} is not a plain relative path`);
  }
  const kind = mode & 0o170000;
  if (!Object.values(kinds).includes(kind)) faults.push(`${name} is no file, directory or link`);
  if (kind === kinds.file && (mode & 0o600) !== 0o600) faults.push(`${name} can't be read by root's programs`);
  if (kind === kinds.link) {
    const target = posix.normalize(posix.join(posix.dirname(name), text ?? ''));
    if (text?.startsWith('/') !== false || target.startsWith('..')) faults.push(`the link ${name} leaves the charm`);
  }
  return faults;
}

/** What Juju executes, and what charmcraft's linter reads out of it. */
function entrypointFaults(entries: readonly CharmEntry[]): readonly string[] {
  const isProgram = (name: string) => {
    const mode = entries.find((entry) => entry.name === name)?.mode ?? 0;
    return (mode & 0o170000) === kinds.file && (mode & 0o111) === 0o111;
  };
  if (!isProgram('dispatch')) return ['dispatch is missing or can not be executed'];
  const text = entries.find(({ name }) => name === 'dispatch')?.text ?? '';
  const last = text.trimEnd().split('\n').at(-1)?.trim() ?? '';
  const word = last.split(/\s+/).at(-1) ?? '';
  const faults: string[] = [];
  if (!text.startsWith('#!/')) faults.push('dispatch does not name its interpreter');
  if (!last.startsWith('exec ')) faults.push('dispatch does not become its program');
  if (word.startsWith('/') || !isProgram(posix.normalize(word))) {
    faults.push(`dispatch ends in ${word}, which is no program in the charm`);
  }
  return faults;
}

const systems = ['ubuntu', 'centos', 'windows', 'osx', 'opensuse', 'genericlinux'];
const processors = ['amd64', 'arm64', 'ppc64el', 's390x', 'riscv64'];

function manifestFaults(manifest: Mapping | undefined): readonly string[] {
  const bases = manifest?.['bases'];
  if (!Array.isArray(bases) || bases.length === 0) return ['manifest.yaml names no bases'];
  return bases.flatMap((base: unknown) => {
    if (!isRecord(base)) return ['a base is no mapping'];
    const { name, channel, architectures } = base;
    const faults: string[] = [];
    if (!systems.includes(String(name))) faults.push(`the base ${String(name)} is unknown`);
    if (typeof channel !== 'string' || !/^\d\d\.\d\d(\/\w+)?$/.test(channel)) {
      faults.push(`the base's channel ${String(channel)} is no text such as "22.04"`);
    }
    const isKnown = Array.isArray(architectures) && architectures.every((each) => processors.includes(String(each)));
    if (!isKnown || architectures.length === 0) faults.push(`the base ${String(channel)} names no known architecture`);
    return faults;
  });
}

const optionTypes: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === 'string',
  int: (value) => Number.isSafeInteger(value),
  float: (value) => typeof value === 'number',
  boolean: (value) => typeof value === 'boolean',
};

function configFaults(config: Mapping | undefined): readonly string[] {
  const options = config?.['options'];
  if (!isRecord(options)) return ['config.yaml has no options'];
  return Object.entries(options).flatMap(([name, option]) => {
    if (!isRecord(option)) return [`the option ${name} is no mapping`];
    const { type, description, default: value } = option;
    const faults: string[] = [];
    if (!/^[a-z][a-z0-9-]*$/.test(name)) faults.push(`the option ${name} is not lower case with hyphens`);
    const fits = optionTypes[String(type)];
    if (fits === undefined) return [...faults, `the option ${name} has the type ${String(type)}, which 2.9 refuses`];
    if (value !== undefined && !fits(value)) faults.push(`the option ${name} has a default that is no ${String(type)}`);
    if (typeof description !== 'string') faults.push(`the option ${name} is not described`);
    return faults;
  });
}

function versionFaults(entries: readonly CharmEntry[]): readonly string[] {
  const line = entries.find(({ name }) => name === 'version')?.text?.split('\n')[0] ?? '';
  return line !== '' && line.length <= 100 ? [] : ['version has no line of at most 100 characters'];
}
