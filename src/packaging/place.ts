import { copyFile, link, rename, rm } from 'node:fs/promises';

/** Puts a folder in place of an older one; another build may do the same at this moment. */
export async function swapFolder(making: string, place: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    await rm(place, { recursive: true, force: true });
    try {
      await rename(making, place);
      return;
    } catch (error) {
      if (attempt === 10) throw error;
    }
  }
}

/** Puts a large file in place: a link where the file system allows it, else a copy. */
export async function placeFile(from: string, to: string): Promise<void> {
  await link(from, to).catch(async () => {
    await copyFile(from, to);
  });
}
