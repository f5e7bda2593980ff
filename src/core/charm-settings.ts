import { isFailure, type Failure } from './failure.ts';
import { isSecretOption, parseSettings, type Settings } from './settings.ts';

/** The options of the charm as Juju gives them. */
export type CharmConfig = Readonly<Record<string, string | number | boolean>>;

/** What the charm's options come to: settings and the text of their file, or why they can't be used. */
export type CharmSettings =
  | {
      readonly ok: true;
      readonly settings: Settings;
      readonly text: string;
      /** The options that stand in a file of their own, because that of the settings is everybody's to read. */
      readonly credentials: Readonly<Record<string, string>>;
    }
  | { readonly ok: false; readonly failure: Failure };

const header =
  '# Written by the charm from the options of the application: juju config. Changes here are overwritten.\n';

/**
 * Makes the settings file from the charm's options and the repository that the peers agreed on. A value that breaks its rule
 * gives the failure that names option, value and rule; the file that lies there then stays in force.
 */
export function settingsFromConfig(config: CharmConfig, repositoryId: string | undefined): CharmSettings {
  const all = { ...config, ...(repositoryId === undefined ? {} : { repository: repositoryId }) };
  try {
    const settings = parseSettings(all);
    // JSON is YAML: any text is one line, and nothing in it is taken for a mark of YAML's.
    const credentials: Record<string, string> = {};
    for (const [name, value] of Object.entries(all)) if (isSecretOption(name)) credentials[name] = String(value);
    const lines = Object.entries(all)
      .filter(([name]) => !isSecretOption(name))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`);
    return { ok: true, settings, text: header + lines.join(''), credentials };
  } catch (error) {
    if (isFailure(error, 'settings')) return { ok: false, failure: error };
    throw error;
  }
}
