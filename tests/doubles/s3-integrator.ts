import type { HookTools } from '../../src/juju/hook-tools.ts';
import type { Model } from '../juju/simulator/model.ts';
import type { PrincipalCharm } from '../juju/simulator/principal.ts';

const names = ['bucket', 'path', 'endpoint', 'region', 's3-uri-style', 'tls-ca-chain'] as const;

/** What an administrator has told the store's charm besides: its keys. */
interface Keys {
  readonly 'access-key': string;
  readonly 'secret-key': string;
}

/**
 * The charm `s3-integrator` in one of the two forms of the interface `s3`. In the first it keeps silent until it is asked for
 * a bucket, takes that for its own where it has none, and says the keys in the open; in the second they are in a secret.
 */
export class S3Integrator {
  readonly name: string;
  readonly #form: 'v0' | 'v1';
  readonly #model: Model;
  #keys: Keys | undefined;
  #secret: string | undefined;
  /** What a requirer asked for first. */
  #asked: string | undefined;

  /** Deploys it; its options are those of the same names in the interface. */
  constructor(model: Model, form: 'v0' | 'v1', options: Readonly<Record<string, string>> = {}, name = 's3-integrator') {
    this.#model = model;
    this.#form = form;
    this.name = name;
    model.deployPrincipal(name, { charm: this.#charm() });
    model.config(name, options);
  }

  /** Its administrator gives it keys, the first or others. */
  giveKeys(keys: Keys): void {
    this.#keys = keys;
    if (this.#secret !== undefined) this.#model.updateSecret(this.#secret, { ...keys });
    for (const unit of this.#model.unitsOf(this.name)) this.#model.updateStatus(unit);
  }

  #charm(): PrincipalCharm {
    const say = async ({ tools }: { readonly tools: HookTools }) => {
      for (const id of await tools.relationIds('s3-credentials')) await this.#say(tools, id);
    };
    return {
      name: this.name,
      metadata: { provides: { 's3-credentials': { interface: 's3' } } },
      config: { options: Object.fromEntries(names.map((name) => [name, { type: 'string', default: '' }])) },
      onConfigChanged: say,
      onRelation: say,
      onUpdateStatus: say,
    };
  }

  async #say(tools: HookTools, id: string): Promise<void> {
    const config = await tools.configGet();
    const requirer = (await tools.relationApplication(id)) ?? '';
    const asked = await tools.relationGet(id, 'app', requirer);
    const told = Object.fromEntries(names.map((name) => [name, String(config[name] ?? '')]));
    if (this.#form === 'v0') {
      if ((asked['bucket'] ?? '') === '') return;
      this.#asked ??= asked['bucket'];
      await tools.relationSet(id, 'app', { ...told, bucket: told['bucket'] || (this.#asked ?? ''), ...this.#keys });
      return;
    }
    const place = { bucket: told['bucket'] || (asked['bucket'] ?? ''), path: told['path'] || (asked['path'] ?? '') };
    await tools.relationSet(id, 'app', { ...told, ...place, 'lib-version': '1.4', ...this.#grantKeys(requirer) });
  }

  #grantKeys(requirer: string): Readonly<Record<string, string>> {
    if (this.#keys === undefined) return {};
    this.#secret ??= this.#model.addSecret('keys of the store', { ...this.#keys });
    this.#model.grantSecret(this.#secret, requirer);
    return { 'secret-extra': this.#secret };
  }
}
