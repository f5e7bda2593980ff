/** Installs a unit, to be killed while it does: `install.child.ts <paths as JSON> <charm> <unit>`. */
import { installUnit } from '../../src/system/installation.ts';
import { machinePaths, type MachinePaths } from '../../src/system/machine-paths.ts';

const [paths = '{}', charmDirectory = '', unit = ''] = process.argv.slice(2);
const given: Partial<MachinePaths> = JSON.parse(paths);
process.stdout.write('ready\n');
await installUnit({ ...machinePaths, ...given }, { unit, charmDirectory, due: ['run-due'] });
