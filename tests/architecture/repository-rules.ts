import { z } from 'zod';

const lockSchema = z.object({
  packages: z.record(
    z.string(),
    z.object({
      resolved: z.string().optional(),
      optionalDependencies: z.record(z.string(), z.string()).optional(),
    }),
  ),
});

/**
 * Says what makes a lock file useless elsewhere: the address of one registry, or an optional package that is named but not
 * locked. npm leaves out what the registry at hand lacks, and `npm ci` then refuses the whole file on every machine.
 */
export function findLockFaults(text: string): readonly string[] {
  const { packages } = lockSchema.parse(JSON.parse(text));
  return Object.entries(packages).flatMap(([path, { resolved, optionalDependencies = {} }]) => {
    const address = resolved === undefined ? [] : [`${path} is bound to one address`];
    const missing = Object.keys(optionalDependencies).filter(
      (name) =>
        packages[`${path}/node_modules/${name}`] === undefined && packages[`node_modules/${name}`] === undefined,
    );
    return [...address, ...missing.map((name) => `${name}, which ${path} names, is not locked`)];
  });
}

/** Places that only one machine has: its work folders, home folders, addresses of package registries. */
const strange =
  /(?<![\w.~-])\/(?:work|home|Users)\/[\w.-]+|https?:\/\/(?:registry\.|[\w.-]*(?:artifactory|nexus|verdaccio))[\w./-]*/;

/** Says every line of a text that names a place of one machine, as `path:line: place`. */
export function findStrangePlaces(path: string, text: string): readonly string[] {
  return text.split('\n').flatMap((line, index) => {
    const found = strange.exec(line);
    return found === null ? [] : [`${path}:${index + 1}: ${found[0]}`];
  });
}
