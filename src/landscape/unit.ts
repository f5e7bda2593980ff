import { Failure, isFailure } from '../core/failure.ts';
import { readVariables, unquoted } from '../core/environment-variables.ts';
import {
  decideProfile,
  defaultServiceConfiguration,
  defaultsFile,
  environmentFile,
  type LandscapeProfile,
} from '../core/landscape-profile.ts';
import {
  effectiveValue,
  parseServiceConfiguration,
  valuesOf,
  type ServiceConfiguration,
} from '../core/service-configuration.ts';
import { run } from '../system/process.ts';
import { join } from 'node:path';
import { expandPattern, readMachineText, type LandscapeMachine } from './machine.ts';

/** What a Landscape unit is at the moment. */
export interface LandscapeUnit {
  readonly profile: LandscapeProfile;
  /** The version of the deb landscape-server; null when dpkg doesn't know it. */
  readonly version: string | null;
  readonly serviceConfiguration: {
    readonly path: string;
    readonly text: string;
    readonly parsed: ServiceConfiguration;
  };
}

/** Looks at this machine; `undefined` where there is no Landscape. A service.conf that can't be read is `damaged`. */
export async function readLandscapeUnit(machine: LandscapeMachine): Promise<LandscapeUnit | undefined> {
  const path = await serviceConfigurationPath(machine);
  const text = await readMachineText(machine, path);
  const profile = decideProfile({
    serviceConfiguration: text,
    defaults: await readMachineText(machine, defaultsFile),
    hasQuickstart: (await debVersion(machine, 'landscape-server-quickstart')) !== null,
    hasCluster: (await expandPattern(machine, '/etc/postgresql/*/*')).length > 0,
  });
  if (profile === 'none') return undefined;
  const known = text ?? '';
  return {
    profile,
    version: await debVersion(machine, 'landscape-server'),
    serviceConfiguration: { path, text: known, parsed: parseServiceConfiguration(known, path) },
  };
}

/** The same where there must be one. */
export async function needLandscapeUnit(machine: LandscapeMachine): Promise<LandscapeUnit> {
  const unit = await readLandscapeUnit(machine);
  if (unit !== undefined) return unit;
  throw new Failure('refused', 'there is no Landscape Server on this machine', {
    hint: `It would have ${defaultServiceConfiguration} and ${defaultsFile}.`,
  });
}

/** The operator may have moved service.conf, by a variable in /etc/environment (from 25.10 on). */
async function serviceConfigurationPath(machine: LandscapeMachine): Promise<string> {
  const variables = readVariables((await readMachineText(machine, environmentFile)) ?? '');
  const named = unquoted(variables.get('LANDSCAPE_CONFIG_FILE') ?? variables.get('LANDSCAPE_SERVICE_CONF'));
  return named?.startsWith('/') === true ? named : defaultServiceConfiguration;
}

/** Where Landscape keeps mirrored packages. */
export function repositoryPath({ serviceConfiguration }: Pick<LandscapeUnit, 'serviceConfiguration'>): string {
  const named = effectiveValue(valuesOf(serviceConfiguration.parsed), 'appserver.repository_path');
  return named?.startsWith('/') === true ? named.replace(/\/+$/, '') : '/var/lib/landscape/landscape-repository';
}

async function debVersion({ root }: LandscapeMachine, name: string): Promise<string | null> {
  try {
    const { exitCode, stdout } = await run(
      'dpkg-query',
      [`--admindir=${join(root, '/var/lib/dpkg')}`, '--show', '--showformat=${db:Status-Status} ${Version}', name],
      { answers: [1, 2] },
    );
    const [status, version] = stdout.split(' ');
    return exitCode === 0 && status === 'installed' && version !== undefined ? version : null;
  } catch (error) {
    if (isFailure(error, 'machine')) return null; // No dpkg here: nothing is known of versions.
    throw error;
  }
}
