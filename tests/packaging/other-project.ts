import { execa } from 'execa';
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');

/** Makes a second copy of the project with the rights that another checkout may have; modules are links. */
export async function makeOtherProject(place: string): Promise<void> {
  await mkdir(place, { recursive: true });
  for (const name of ['src', 'charm']) {
    await cp(join(root, name), join(place, name), { recursive: true });
    await execa('chmod', ['-R', 'u=rwX,go=', join(place, name)]);
  }
  const top = ['metadata.yaml', 'config.yaml', 'actions.yaml', 'LICENSE', 'README.md', 'package.json'];
  for (const name of [...top, 'package-lock.json']) await cp(join(root, name), join(place, name));
  await execa('cp', ['-al', join(root, 'node_modules'), join(place, 'node_modules')]);
}
