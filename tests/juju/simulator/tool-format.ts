import { dump } from 'js-yaml';
import { ToolError } from './context.ts';

/** A value as a tool prints it. */
export function format(value: unknown, how: string): string {
  if (how === 'json') return `${goJson(value)}\n`;
  if (how === 'yaml') return yaml(value);
  if (how !== 'smart') throw new ToolError(2, `invalid value "${how}" for option --format: unknown format "${how}"`);
  if (value === null || value === undefined || value === '') return '';
  if (typeof value === 'string') return `${value}\n`;
  if (typeof value === 'boolean') return value ? 'True\n' : 'False\n';
  if (Array.isArray(value)) return value.length === 0 ? '' : `${value.join('\n')}\n`;
  return yaml(value);
}

function yaml(value: unknown): string {
  return dump(value ?? null, { sortKeys: true, lineWidth: -1 });
}

/** JSON as Go writes it: names sorted, and what means something in HTML escaped. */
function goJson(value: unknown): string {
  return JSON.stringify(sorted(value ?? null)).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([name, inner]) => [name, sorted(inner)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
