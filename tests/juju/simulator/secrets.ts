import { ToolError } from './context.ts';
import { Refused } from './refused.ts';
import { isAtLeast } from './versions.ts';
import type { ApplicationState, ModelState, UnitState } from './state.ts';

/** A secret of the model's user: every revision of its contents, the oldest first, and who may read it. */
export interface SecretState {
  readonly id: string;
  readonly name: string;
  readonly revisions: Readonly<Record<string, string>>[];
  readonly grants: Set<ApplicationState>;
}

const keyRule = /^[a-z](?:-?[a-z0-9]){2,}$/;

/** `juju add-secret`: gives back its URI. Secrets of users are there from Juju 3.3 on. */
export function addSecret(model: ModelState, name: string, content: Readonly<Record<string, string>>): string {
  if (!isAtLeast(model.behaviour.version, '3.3'))
    throw new Refused(`Juju ${model.behaviour.version} has no secrets of users`);
  checkKeys(content);
  const id = `s${String(model.secrets.size + 1).padStart(19, '0')}`;
  model.secrets.set(id, { id, name, revisions: [content], grants: new Set() });
  return `secret:${id}`;
}

/** `juju update-secret`: who has read it hears of it. */
export function updateSecret(model: ModelState, uri: string, content: Readonly<Record<string, string>>): void {
  checkKeys(content);
  secretOf(model, uri).revisions.push(content);
}

function checkKeys(content: Readonly<Record<string, string>>): void {
  const wrong = Object.keys(content).find((key) => !keyRule.test(key));
  if (wrong !== undefined) throw new Refused(`invalid key "${wrong}" of a secret`);
}

/** The secret of a URI, in either of its forms. */
export function secretOf(model: ModelState, uri: string): SecretState {
  const id = /^secret:(?:\/\/[^/]*\/)?([a-z0-9]+)$/.exec(uri)?.[1];
  const secret = id === undefined ? undefined : model.secrets.get(id);
  if (secret === undefined) throw new Refused(`secret "${uri}" not found`);
  return secret;
}

/** `secret-get`: the first read pins the revision, `refresh` moves the pin, `peek` does not. */
export function readSecret(
  unit: UnitState,
  uri: string,
  how: 'pinned' | 'peek' | 'refresh',
): Readonly<Record<string, string>> {
  const secret = [...unit.application.model.secrets.values()].find(({ id }) => uri.endsWith(id));
  if (secret === undefined) throw new ToolError(1, `secret "${uri}" not found`);
  if (!secret.grants.has(unit.application)) throw new ToolError(1, 'permission denied');
  const newest = secret.revisions.length;
  if (how === 'refresh' || !unit.secrets.has(secret.id)) unit.secrets.set(secret.id, { pinned: newest, told: newest });
  const revision = how === 'peek' ? newest : (unit.secrets.get(secret.id)?.pinned ?? newest);
  return secret.revisions[revision - 1] ?? {};
}

/** A secret that this unit has read, of which there is a newer revision than it was told. */
export function changedSecret(unit: UnitState): { readonly secret: SecretState; tell(): void } | undefined {
  for (const [id, seen] of unit.secrets) {
    const secret = unit.application.model.secrets.get(id);
    if (secret === undefined || !secret.grants.has(unit.application)) continue;
    const newest = secret.revisions.length;
    if (newest > seen.told) return { secret, tell: () => unit.secrets.set(id, { ...seen, told: newest }) };
  }
  return undefined;
}
