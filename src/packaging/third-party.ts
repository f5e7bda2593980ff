import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { installedNode } from './shipped-node.ts';

const packageSchema = z.object({
  name: z.string(),
  version: z.string(),
  license: z.string().optional(),
  /** How packages said it before there was `license`. */
  licenses: z.array(z.object({ type: z.string() })).optional(),
});

/**
 * The licences of all that is shipped and not ours: the packages whose files went into the bundles, and Node.
 *
 * @param inputs the sources of the bundles, relative to the root
 */
export async function thirdPartyText(root: string, inputs: readonly string[]): Promise<string> {
  const folders = inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  const all = [...new Set(folders), join('node_modules', await installedNode(root))].sort();
  const chapters = await Promise.all(all.map(async (folder) => await chapter(join(root, folder))));
  return `What this charm contains beside its own code, and under which licences.\n\n${chapters.join('\n\n')}`;
}

async function chapter(folder: string): Promise<string> {
  const { name, version, licenses, license } = packageSchema.parse(
    JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')),
  );
  const terms = license ?? licenses?.map(({ type }) => type).join(' OR ');
  if (terms === undefined) throw new Error(`${name} ${version} says nothing about its licence`);
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort();
  const texts = await Promise.all(files.map(async (file) => (await readFile(join(folder, file), 'utf8')).trim()));
  // The same words whatever machine packs.
  const what = name.startsWith('node-linux-') ? 'Node' : name;
  return [`==== ${what} ${version}, ${terms}`, ...texts].join('\n\n').concat('\n');
}
