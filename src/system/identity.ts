import { hostname } from 'node:os';
import { Failure } from '../core/failure.ts';
import { readText } from './files.ts';
import { readUnitIdentity } from './unit-identity.ts';

/** The names by which the repository knows a unit. */
export interface Identity {
  readonly model: string;
  readonly application: string;
  readonly unit: string;
  /** What people call the model, where Juju made it. */
  readonly modelName?: string;
}

const machineIdFile = '/etc/machine-id';

/**
 * The names of a home's unit: Juju's where a charm wrote them. Without Juju a machine is its own model, its host name the
 * application, and each cluster (`15-main`) a unit.
 */
export async function readIdentity(home: string, unit: string): Promise<Identity> {
  const known = await readUnitIdentity(home);
  if (known !== undefined) {
    const { model, application, unit: name } = known;
    return { model: model.uuid, application, unit: name, modelName: model.name };
  }
  const model = (await readText(machineIdFile))?.trim();
  if (model === undefined || !/^[0-9a-f]{32}$/.test(model)) {
    throw new Failure('machine', `${machineIdFile} does not hold this machine's id`, {
      hint: 'systemd-machine-id-setup makes one.',
    });
  }
  return { model, application: hostname(), unit };
}
