import { join } from 'node:path';
import { siteSchema, type Site } from '../core/site.ts';
import { readJson, writeJson } from './files.ts';

function siteFile(home: string): string {
  return join(home, 'site.json');
}

/** All units as the charm last saw them; `undefined` without a charm. */
export async function readSite(home: string): Promise<Site | undefined> {
  return await readJson(siteFile(home), siteSchema);
}

/** Keeps them for programs that Juju does not start. Everybody may read it: it holds no secret. */
export async function writeSite(home: string, site: Site): Promise<void> {
  await writeJson(siteFile(home), siteSchema, site, 0o644);
}
