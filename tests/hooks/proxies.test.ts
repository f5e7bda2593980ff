import { expect, test } from 'vitest';
import { charmWorld, type CharmWorld } from './charm-world.ts';

const app = 'landscape-backup';
const both = <T>(one: T): readonly T[] => [one, one];

function kept({ model, machineOf }: CharmWorld) {
  return model.unitsOf(app).map((unit) => {
    const { settings = '', credentials } = machineOf(unit);
    const [line] = settings.split('\n').filter((each) => each.startsWith('no-proxy'));
    return [credentials['http-proxy'], credentials['https-proxy'], line];
  });
}

test("the model's proxies reach the programs that run outside of hooks, and follow the model", async () => {
  const world = await charmWorld();
  const { model } = world;
  expect(kept(world)).toEqual(both([undefined, undefined, undefined]));

  model.setProxies({ http: 'http://a:3128', https: 'http://me:planted@a:3128', no: '127.0.0.1,10.0.0.0/8' });
  model.updateStatus();
  await world.settle();
  expect(kept(world)).toEqual(both(['http://a:3128', 'http://me:planted@a:3128', 'no-proxy: "127.0.0.1,10.0.0.0/8"']));
  for (const unit of model.unitsOf(app)) expect(world.machineOf(unit).settings).not.toContain('3128');

  model.setProxies({ https: 'http://b:3128', no: '127.0.0.1,localhost,::1' });
  model.updateStatus();
  await world.settle();
  expect(kept(world)).toEqual(both([undefined, 'http://b:3128', 'no-proxy: "127.0.0.1,localhost,::1"']));

  model.setProxies({ no: '127.0.0.1,localhost,::1' });
  model.updateStatus();
  await world.settle();
  expect(kept(world)).toEqual(both([undefined, undefined, undefined]));
});

test.each([
  ['https', 'socks5://planted:1080', 'is (secret), it must be empty, or the URL of a proxy (proxies of http'],
  [
    'http',
    'http://planted/path',
    'is (secret), it must be empty, or the URL of a proxy (nothing stands behind the port)',
  ],
])('a proxy of the model that is none blocks with its own command: %s', async (kind, value, told) => {
  const world = await charmWorld();
  const { model } = world;
  const before = kept(world);
  model.setProxies({ [kind]: value });
  model.updateStatus();
  await world.settle();

  for (const unit of model.unitsOf(app)) {
    const { status, message } = model.statusOf(unit);
    expect(status).toBe('blocked');
    expect(message).toContain(`the model's setting juju-${kind}-proxy ${told}`);
    expect(message).toContain(
      `Next: juju model-config juju-${kind}-proxy=…; until then the last good options are in force`,
    );
    expect(message + JSON.stringify(model.logOf(unit))).not.toContain('planted');
  }
  expect(kept(world)).toEqual(before);
});
