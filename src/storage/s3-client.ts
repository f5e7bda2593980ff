import { S3Client } from '@aws-sdk/client-s3';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext, rootCertificates } from 'node:tls';
import * as z from 'zod';
import type { S3Access } from '../core/destination-access.ts';
import { Failure } from '../core/failure.ts';
import { environment } from '../system/environment.ts';
import { errorCode } from '../system/files.ts';
import { isS3Refusal, S3Refusal } from './s3-failure.ts';

/** How patient we are with a store; tests are less. */
export interface S3Patience {
  readonly connectMs: number;
  /** Without a byte, and until an answer begins. */
  readonly silenceMs: number;
  readonly attempts: number;
  readonly firstPauseMs: number;
}

export const usualPatience: S3Patience = { connectMs: 10_000, silenceMs: 90_000, attempts: 5, firstPauseMs: 200 };

/** Codes that pass by themselves, whatever the number in front of them. */
const passing = [
  'RequestTimeout',
  'SlowDown',
  'Throttling',
  'InternalError',
  'ServiceUnavailable',
  'OperationAborted',
  'ConditionalRequestConflict',
];

const certificateFault = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS_CERT/;

const errorSchema = z.object({
  name: z.string(),
  message: z.string(),
  Code: z.string().optional(),
  $metadata: z.object({ httpStatusCode: z.number().optional() }).optional(),
});

const responseSchema = z.object({ response: z.object({ headers: z.record(z.string(), z.string()) }) });

/** A store, asked with patience for what passes and none for what does not. */
export class S3Asker {
  readonly patience: S3Patience;
  readonly #client: S3Client;
  readonly #where: string;
  readonly #reread: () => Promise<S3Access>;
  #keys: S3Keys;
  #renewing: Promise<boolean> | undefined;
  #time: Date | undefined;

  constructor({ access, reread }: S3AskerOptions, patience: S3Patience) {
    this.patience = patience;
    this.#where = access.endpoint ?? 'AWS';
    this.#reread = reread;
    this.#keys = keysOf(access);
    this.#client = makeClient(access, patience, () => this.#keys);
    this.#client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const told = responseSchema.safeParse(result).data?.response.headers['date'];
        const time = told === undefined ? Number.NaN : Date.parse(told);
        if (!Number.isNaN(time)) this.#time = new Date(time);
        return result;
      },
      { step: 'deserialize', name: 'landscapeBackupClock' },
    );
  }

  /** What the store's clock said in its last answer. */
  get time(): Date | undefined {
    return this.#time;
  }

  /**
   * Does one thing with the store; it may be done several times. Fails with a `S3Refusal` where the store says no, and with
   * `unavailable` where it says nothing that can be relied on. A no to keys that were exchanged meanwhile is asked again.
   */
  async ask<T>(work: (client: S3Client) => Promise<T>): Promise<T> {
    let isUncertain = false;
    let isRenewed = false;
    for (let attempt = 1; ; attempt += 1) {
      const keys = this.#keys;
      try {
        return await work(this.#client);
      } catch (error) {
        if (error instanceof Failure) throw error;
        const told = this.#meaning(error, isUncertain);
        // The library has set its clock by that answer: a machine whose own is wrong goes on, and `check` tells of it.
        if (attempt === 1 && isS3Refusal(told, 'RequestTimeTooSkewed')) continue;
        if (!(told instanceof Passing)) {
          if (isRenewed || !isAboutKeys(told) || !(await this.#renew(keys))) throw told;
          isRenewed = true;
          attempt -= 1;
          continue;
        }
        isUncertain = true;
        if (attempt >= this.patience.attempts) throw told.failure;
        // A store may cut off a long request that comes with old keys, and its no is lost with the connection.
        await this.#renew(keys);
        await sleep(this.patience.firstPauseMs * 2 ** (attempt - 1) * (0.75 + Math.random() / 2));
      }
    }
  }

  close(): void {
    this.#client.destroy();
  }

  /** Takes the keys that are in force by now, unless somebody has already; tells whether they are others than those used. */
  async #renew(used: S3Keys): Promise<boolean> {
    if (used !== this.#keys) return true;
    this.#renewing ??= this.#readKeys().finally(() => {
      this.#renewing = undefined;
    });
    return await this.#renewing;
  }

  async #readKeys(): Promise<boolean> {
    try {
      const keys = keysOf(await this.#reread());
      if (keys.accessKeyId === this.#keys.accessKeyId && keys.secretAccessKey === this.#keys.secretAccessKey)
        return false;
      this.#keys = keys;
      return true;
    } catch {
      return false; // What the store said is what is told.
    }
  }

  #meaning(error: unknown, isAfterUncertain: boolean): Passing | Failure | S3Refusal {
    const read = errorSchema.safeParse(error).data;
    const status = read?.$metadata?.httpStatusCode;
    const code = read?.Code ?? read?.name ?? 'unknown';
    // The library tells what was wrong with an answer, but keeps "200" of an answer that broke off or was none.
    if (status !== undefined && status >= 300) {
      if (status < 500 && status !== 429 && status !== 408 && !passing.includes(code)) {
        return new S3Refusal({ status, code, isAfterUncertain });
      }
      if (status === 501) return new S3Refusal({ status, code, isAfterUncertain });
      if (status === 507) return new S3Refusal({ status, code: 'InsufficientStorage', isAfterUncertain });
      return new Passing(this.#unavailable(`the store said ${status} ${code}`));
    }
    const system = errorCode(error) ?? '';
    if (certificateFault.test(system)) {
      return new Failure('refused', `the store at ${this.#where} shows a certificate that is not trusted (${system})`, {
        hint: 'Put the certificate of the authority that signed it into the option s3-ca, as PEM.',
      });
    }
    return new Passing(this.#unavailable(system === '' ? (read?.message ?? String(error)) : system));
  }

  #unavailable(what: string): Failure {
    return new Failure('unavailable', `the store at ${this.#where} could not be asked: ${what}`, {
      hint: 'Is it up, and may this machine reach it? What waits is kept and tried again.',
    });
  }
}

/** What another attempt may change. */
class Passing {
  readonly failure: Failure;

  constructor(failure: Failure) {
    this.failure = failure;
  }
}

/** How a store is asked: the access to begin with, and who says the one that is in force by now. */
interface S3AskerOptions {
  readonly access: S3Access;
  readonly reread: () => Promise<S3Access>;
}

interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

function keysOf({ accessKey, secretKey }: S3Access): S3Keys {
  if (accessKey === undefined || secretKey === undefined)
    throw missing(accessKey === undefined ? 's3-access-key' : 's3-secret-key');
  return { accessKeyId: accessKey.reveal(), secretAccessKey: secretKey.reveal() };
}

/** Tells whether other keys may get another answer. */
function isAboutKeys(told: Failure | S3Refusal): boolean {
  return told instanceof S3Refusal && (told.status === 401 || told.status === 403);
}

function makeClient(access: S3Access, { connectMs, silenceMs }: S3Patience, keys: () => S3Keys): S3Client {
  const { endpoint, region, uriStyle, ca, proxies } = access;
  if (endpoint === undefined && region === undefined) throw missing('s3-region');
  const agent = { keepAlive: true, maxSockets: 64, proxyEnv: proxyVariables(proxies) };
  // Made once: read anew for each connection, all those certificates are some milliseconds of a core.
  const trusting = ca === undefined ? {} : { secureContext: createSecureContext({ ca: [...rootCertificates, ca] }) };
  return new S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    region: region ?? 'us-east-1',
    forcePathStyle: uriStyle === undefined ? endpoint !== undefined : uriStyle === 'path',
    // Keys that have always expired are asked for with each request; others the library would keep for good.
    credentials: async () => await Promise.resolve({ ...keys(), expiration: new Date(0) }),
    maxAttempts: 1,
    logger: silent,
    // Others than AWS refuse the checksums that AWS has come to want by default.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: connectMs,
      socketTimeout: silenceMs,
      requestTimeout: silenceMs,
      throwOnRequestTimeout: true,
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent({ ...agent, ...trusting }),
    },
  });
}

/** The model's proxies, which the settings hold, or else those of the environment. */
function proxyVariables(proxies: S3Access['proxies']): Readonly<Record<string, string | undefined>> {
  if (proxies === undefined) return environment.proxies();
  return { HTTP_PROXY: proxies.http, HTTPS_PROXY: proxies.https, NO_PROXY: proxies.no };
}

/** The library would write to the terminal what we tell in our own words. */
const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

function missing(option: string): Failure {
  return new Failure('settings', `the option ${option} is empty, and the destination is an S3 store`, {
    hint: `Set ${option} to what the store gave you.`,
  });
}
