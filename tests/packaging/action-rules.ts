import { isRecord, type Mapping } from './mapping.ts';

const nameRule = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const types = ['string', 'integer', 'number', 'boolean', 'array', 'object', 'null'];
/** What JSON Schema has since draft 4 and Juju therefore ignores. */
const later = ['const', 'if', 'then', 'else', 'contains', 'propertyNames', 'examples', '$id', 'dependentRequired'];

/** What Juju refuses in actions.yaml, reads otherwise in another version, or lets stop the machine's other units. */
export function findActionFaults(actions: Mapping): readonly string[] {
  return Object.entries(actions).flatMap(([name, action]) => {
    if (!isRecord(action)) return [`the action ${name} is no mapping`];
    const { description, params = {}, required = [], additionalProperties } = action;
    const faults: string[] = [];
    if (!nameRule.test(name) || /^juju(-|$)/.test(name)) faults.push(`the action name ${name} is refused`);
    if (typeof description !== 'string') faults.push(`the action ${name} is not described`);
    if (typeof additionalProperties !== 'boolean') {
      faults.push(`the action ${name} leaves additionalProperties to the version of Juju`);
    }
    if (typeof action['execution-group'] !== 'string') faults.push(`the action ${name} takes the machine's lock`);
    if (!isRecord(params)) return [...faults, `the params of ${name} are no mapping`];
    if (!Array.isArray(required) || required.some((each) => params[String(each)] === undefined)) {
      faults.push(`the action ${name} requires a parameter that it does not have`);
    }
    for (const word of forbidden(action)) faults.push(`the action ${name} says ${word}`);
    for (const [param, schema] of Object.entries(params)) {
      if (!nameRule.test(param)) faults.push(`the parameter ${name}.${param} can't be given on the command line`);
      faults.push(
        ...(isRecord(schema) ? schemaFaults(schema) : ['no schema']).map((why) => `${name}.${param}: ${why}`),
      );
    }
    return faults;
  });
}

function forbidden(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((each) => forbidden(each));
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, below]) => [
    ...(key === '$ref' || key === '$schema' ? [key] : []),
    ...forbidden(below),
  ]);
}

function schemaFaults(schema: Mapping): readonly string[] {
  const faults: string[] = [];
  const { type, default: value, minimum, maximum, pattern } = schema;
  if (typeof type !== 'string' || !types.includes(type)) return [`the type ${String(type)} is none`];
  if (typeof schema['description'] !== 'string') faults.push('it is not described');
  for (const word of later) if (schema[word] !== undefined) faults.push(`${word} is not in draft 4`);
  for (const word of ['required', 'exclusiveMinimum', 'exclusiveMaximum']) {
    const wanted = word === 'required' ? 'object' : 'boolean';
    if (schema[word] !== undefined && typeof schema[word] !== wanted) faults.push(`${word} is not as in draft 4`);
  }
  if (typeof pattern === 'string') {
    // RE2 has neither of these.
    if (/\(\?[=!<]|\\\d/.test(pattern)) faults.push('the pattern is none for Go');
    if (!pattern.startsWith('^') || !pattern.endsWith('$')) faults.push('the pattern matches within the text');
  }
  if (value === undefined) return faults;
  const fits = type === 'integer' ? Number.isSafeInteger(value) : typeof value === type;
  if (!fits) faults.push(`its default is no ${type}`);
  if (typeof value === 'number' && (value < Number(minimum ?? value) || value > Number(maximum ?? value))) {
    faults.push('its default is out of its own range');
  }
  if (Array.isArray(schema['enum']) && !schema['enum'].includes(value))
    faults.push('its default is none of its choices');
  return faults;
}
