import { isRecord, type Mapping } from './mapping.ts';

const isReserved = (name: string) => name === 'juju' || name.startsWith('juju-');

/** What Juju refuses in metadata.yaml: format v2, relations, `assumes`, subordinates. */
export function findMetadataFaults(metadata: Mapping, manifest: Mapping | undefined): readonly string[] {
  const faults: string[] = [];
  for (const key of ['name', 'summary', 'description']) {
    if (typeof metadata[key] !== 'string' || metadata[key] === '') faults.push(`metadata.yaml has no ${key}`);
  }
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*$/.test(String(metadata['name']))) faults.push('the name is none');
  if (String(metadata['summary']).length > 200) faults.push('the summary is longer than 200 characters');
  for (const key of ['series', 'min-juju-version', 'deployment']) {
    if (metadata[key] !== undefined) faults.push(`metadata.yaml has ${key}, which a charm with bases may not`);
  }
  if (metadata['assumes'] !== undefined) {
    if (!Array.isArray(manifest?.['bases'])) faults.push('assumes needs bases in manifest.yaml');
    faults.push(...assumesFaults(metadata['assumes']));
  }
  return [...faults, ...relationFaults(metadata)];
}

function assumesFaults(list: unknown): readonly string[] {
  if (!Array.isArray(list) || list.length === 0) return ['assumes is no list'];
  return list.flatMap((item: unknown) => {
    if (typeof item === 'string') {
      const isKnown = /^[a-z][a-z0-9-]*[a-z0-9](\s*(>=|<)\s*\d+(\.\d+){0,2})?$/.test(item);
      return isKnown ? [] : [`assumes holds "${item}"`];
    }
    const [entry, ...more] = isRecord(item) ? Object.entries(item) : [];
    if (entry === undefined || more.length > 0 || !/^(any|all)-of$/.test(entry[0])) {
      return ['assumes holds something else than a feature, any-of or all-of'];
    }
    return assumesFaults(entry[1]);
  });
}

function relationFaults(metadata: Mapping): readonly string[] {
  const isSubordinate = metadata['subordinate'] === true;
  const faults: string[] = [];
  const seen = new Set<string>();
  let hasContainer = false;
  for (const role of ['provides', 'requires', 'peers']) {
    const endpoints = metadata[role];
    for (const [name, relation] of isRecord(endpoints) ? Object.entries(endpoints) : []) {
      if (seen.has(name)) faults.push(`the endpoint ${name} is there twice`);
      seen.add(name);
      if (!isRecord(relation) || typeof relation['interface'] !== 'string') {
        faults.push(`the endpoint ${name} has no interface`);
        continue;
      }
      const isContainer = role === 'requires' && relation['scope'] === 'container';
      hasContainer ||= isContainer;
      faults.push(...endpointFaults(role, name, relation, isSubordinate && isContainer));
    }
  }
  if (isSubordinate && !hasContainer) faults.push('a subordinate needs an endpoint that it requires in the container');
  return faults;
}

function endpointFaults(role: string, name: string, relation: Mapping, mayReserve: boolean): readonly string[] {
  const faults: string[] = [];
  if (isReserved(name) && !mayReserve) faults.push(`the endpoint name ${name} is reserved`);
  if (/[.]|^\$/.test(name)) faults.push(`the endpoint name ${name} has a sign that charmcraft refuses`);
  if (role !== 'requires' && String(relation['interface']).startsWith('juju')) {
    faults.push(`the interface of ${name} is reserved`);
  }
  if (!['global', 'container', undefined].includes(relation['scope'] as string | undefined)) {
    faults.push(`the endpoint ${name} has an unknown scope`);
  }
  if (typeof relation['optional'] !== 'boolean')
    faults.push(`the endpoint ${name} does not say whether it is optional`);
  if (relation['limit'] !== undefined && !Number.isInteger(relation['limit'])) {
    faults.push(`the endpoint ${name} has a limit that is no number`);
  }
  return faults;
}
