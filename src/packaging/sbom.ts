import * as z from 'zod';

const lockedSchema = z.object({
  version: z.string().optional(),
  integrity: z.string().optional(),
  license: z.string().optional(),
  dev: z.boolean().optional(),
  optional: z.boolean().optional(),
  dependencies: z.record(z.string(), z.string()).optional(),
  optionalDependencies: z.record(z.string(), z.string()).optional(),
});
type Locked = z.infer<typeof lockedSchema>;
const lockSchema = z.object({ packages: z.record(z.string(), lockedSchema) });

/**
 * The parts that are shipped, as CycloneDX 1.6: what the lock file marks neither as a tool of development nor, but for
 * Node itself, as optional: native parts of packages are not built for us, and do not go into the bundles.
 *
 * It carries no time and no random number, so that the same lock file gives the same bytes.
 */
export function makeSbom(lockText: string, charm: { readonly name: string; readonly version: string }): string {
  const { packages } = lockSchema.parse(JSON.parse(lockText));
  const shipped = Object.keys(packages)
    .filter((path) => path !== '' && packages[path]?.dev !== true)
    .filter((path) => packages[path]?.optional !== true || nameOf(path).startsWith('node-linux-'))
    .sort();
  const references = new Map(shipped.map((path) => [path, purl(nameOf(path), packages[path]?.version ?? '')]));
  const self = purl(charm.name, charm.version);
  const edges = ['', ...shipped].map((path) => ({
    ref: references.get(path) ?? self,
    dependsOn: dependenciesOf(packages, path).flatMap((found) => references.get(found) ?? []),
  }));
  const sbom = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { component: { type: 'application', 'bom-ref': self, name: charm.name, version: charm.version } },
    components: shipped.map((path) => component(nameOf(path), packages[path] ?? {})),
    dependencies: edges,
  };
  return `${JSON.stringify(sbom, null, 2)}\n`;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

function purl(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

/** Where a package's dependencies lie: the nearest `node_modules` on the way up. */
function dependenciesOf(packages: Readonly<Record<string, Locked>>, path: string): readonly string[] {
  const { dependencies = {}, optionalDependencies = {} } = packages[path] ?? {};
  const names = [...new Set([...Object.keys(dependencies), ...Object.keys(optionalDependencies)])].sort();
  return names.flatMap((name) => {
    for (let folder = path; ; folder = folder.slice(0, Math.max(folder.lastIndexOf('/node_modules/'), 0))) {
      const candidate = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
      if (packages[candidate] !== undefined) return [candidate];
      if (folder === '') return [];
    }
  });
}

/** Packages that say their licence in the old way, which npm does not lock. */
const oldLicenses: Readonly<Record<string, string>> = { ssh2: 'MIT' };

function component(name: string, { version = '', integrity, ...locked }: Locked) {
  const license = locked.license ?? oldLicenses[name];
  const [group, short] = name.startsWith('@') ? name.split('/') : [undefined, name];
  // npm writes several digests with a blank between them; one is enough here.
  const sha512 = /sha512-([A-Za-z0-9+/=]+)/.exec(integrity ?? '')?.[1];
  return {
    type: 'library',
    'bom-ref': purl(name, version),
    ...(group === undefined ? {} : { group }),
    name: short,
    version,
    ...(sha512 === undefined
      ? {}
      : { hashes: [{ alg: 'SHA-512', content: Buffer.from(sha512, 'base64').toString('hex') }] }),
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
    purl: purl(name, version),
  };
}
