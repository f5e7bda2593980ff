import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { parseSettings } from '../../src/core/settings.ts';
import type { S3Access } from '../../src/core/destination-access.ts';

/** What a store can do, and what is wrong with it. */
export interface S3Dialect {
  /** Keeps `If-None-Match: *` of a put. */
  conditionalPut: boolean;
  /** Keeps it where a multipart upload is completed, as AWS does and Ceph 16 does not. */
  conditionalComplete: boolean;
  /** How many keys a page of a listing holds. */
  pageSize: number;
  /** Cuts off who comes with unknown keys, before the body and without a word, as is seen of Ceph with a long one. */
  cutsStrangersOff: boolean;
  clockShiftMs: number;
}

/**
 * What goes wrong with a request.
 *
 * - a number: it is refused with this status before anything was done
 * - `drop-before`, `drop-after`: the connection is cut before or after the work is done
 * - `truncate`: the answer's body is cut in its middle
 * - `stall`: there is no answer
 */
export type S3Fault = number | 'drop-before' | 'drop-after' | 'truncate' | 'stall';

interface StoredVersion {
  readonly bytes: Buffer;
  readonly writer: string;
  readonly at: Date;
}

interface Upload {
  readonly key: string;
  readonly writer: string;
  at: Date;
  readonly parts: Map<number, Buffer>;
}

/** A store in this process that answers like S3 as far as we ask, with one bucket, and without looking at signatures. */
export class S3Server {
  readonly dialect: S3Dialect = {
    conditionalPut: true,
    conditionalComplete: true,
    pageSize: 1000,
    cutsStrangersOff: false,
    clockShiftMs: 0,
  };
  readonly objects = new Map<string, StoredVersion>();
  readonly uploads = new Map<string, Upload>();
  /** Every request, as `PUT key?query`. */
  readonly requests: string[] = [];
  /** Asked for each request before it is answered. */
  fault: (request: string) => S3Fault | undefined = () => undefined;
  /** Awaited for each request before anything of it is done. */
  hold: (request: string) => Promise<void> = async () => undefined;
  /** The access keys that get in; all of them unless some are named. */
  keys: ReadonlySet<string> | undefined;
  /** Errors that answer a request whatever it is, by `METHOD query`. */
  readonly answers = new Map<string, readonly [number, string]>();
  readonly bucket = 'bucket';
  port = 0;
  readonly #server = createServer((request, response) => {
    void this.#answer(request, response).catch(() => request.destroy());
  });

  static async start(): Promise<S3Server> {
    const made = new S3Server();
    await new Promise<void>((resolve) => made.#server.listen(0, '127.0.0.1', resolve));
    const address = made.#server.address();
    if (address !== null && typeof address === 'object') made.port = address.port;
    return made;
  }

  access(more: Readonly<Record<string, string>> = {}): S3Access {
    const keys = { 's3-access-key': 'ACCESSKEYOFTEST', 's3-secret-key': 'secret-of-the-test' };
    return parseSettings({ ...keys, 's3-endpoint': `http://127.0.0.1:${this.port}`, ...more }).access.s3;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://store');
    const key = decodeURIComponent(url.pathname).replace(/^\/bucket\/?/, '');
    const name = `${request.method ?? ''} ${key}${url.search.replace(/&?x-id=\w+/, '').replace(/^\?$/, '')}`;
    const fault = this.fault(name);
    this.requests.push(name);
    if (fault === 'drop-before') return void request.destroy();
    const accessKey = /Credential=([^/]+)\//.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const isStranger = this.keys?.has(accessKey) === false;
    if (isStranger && this.dialect.cutsStrangersOff) return void request.destroy();
    const body = await readBody(request);
    if (fault === 'stall') return;
    await this.hold(name);
    if (typeof fault === 'number') return say(response, fault, errorText(fault === 503 ? 'SlowDown' : 'Scripted'));
    if (isStranger) return say(response, 403, errorText('InvalidAccessKeyId'));
    const forced = [...this.answers].find(([pattern]) => name.startsWith(pattern))?.[1];
    if (forced !== undefined) return say(response, forced[0], errorText(forced[1]));
    if (!url.pathname.startsWith('/bucket')) return say(response, 404, errorText('NoSuchBucket'));
    const exchange = { key, query: url.searchParams, body, headers: request.headers };
    const [status, text, headers = {}] = this.#work(request.method ?? '', exchange);
    if (fault === 'drop-after') return void request.destroy();
    const date = new Date(Date.now() + this.dialect.clockShiftMs).toUTCString();
    const length = typeof text === 'string' ? Buffer.byteLength(text) : text.byteLength;
    response.writeHead(status, { 'content-length': length, date, ...headers });
    if (fault !== 'truncate') return void response.end(request.method === 'HEAD' ? undefined : text);
    response.write(Buffer.from(text).subarray(0, length / 2), () => response.destroy());
  }

  #work(method: string, exchange: Exchange): Answer {
    const { key, query } = exchange;
    if (key === '') return this.#bucketWork(query);
    if (method === 'POST' && query.has('uploads')) return this.#begin(exchange);
    if (method === 'POST') return this.#complete(exchange);
    if (method === 'PUT') return query.has('uploadId') ? this.#part(exchange) : this.#put(exchange);
    if (method === 'DELETE') {
      const id = query.get('uploadId');
      if (id === null) this.objects.delete(key);
      else if (!this.uploads.delete(id)) return [404, errorText('NoSuchUpload')];
      return [204, ''];
    }
    if (query.has('uploadId')) return this.#listParts(query.get('uploadId') ?? '');
    return this.#get(exchange);
  }

  #put({ key, body, headers }: Exchange): Answer {
    if (this.dialect.conditionalPut && headers['if-none-match'] === '*' && this.objects.has(key)) {
      return [412, errorText('PreconditionFailed')];
    }
    this.objects.set(key, { bytes: body, writer: String(headers['x-amz-meta-writer']), at: new Date() });
    return [200, '', { etag: etagOf(body) }];
  }

  #begin({ key, headers }: Exchange): Answer {
    const id = randomUUID();
    this.uploads.set(id, { key, writer: String(headers['x-amz-meta-writer']), at: new Date(), parts: new Map() });
    return [200, `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`];
  }

  #part({ query, body }: Exchange): Answer {
    const upload = this.uploads.get(query.get('uploadId') ?? '');
    if (upload === undefined) return [404, errorText('NoSuchUpload')];
    upload.parts.set(Number(query.get('partNumber')), body);
    return [200, '', { etag: etagOf(body) }];
  }

  #complete({ key, query, headers }: Exchange): Answer {
    const id = query.get('uploadId') ?? '';
    const upload = this.uploads.get(id);
    if (upload === undefined) return [404, errorText('NoSuchUpload')];
    if (this.dialect.conditionalComplete && headers['if-none-match'] === '*' && this.objects.has(key)) {
      return [412, errorText('PreconditionFailed')];
    }
    const numbers = [...upload.parts.keys()].toSorted((a, b) => a - b);
    const bytes = Buffer.concat(numbers.map((number) => upload.parts.get(number) ?? Buffer.alloc(0)));
    this.objects.set(key, { bytes, writer: upload.writer, at: new Date() });
    this.uploads.delete(id);
    return [200, `<CompleteMultipartUploadResult><ETag>${etagOf(bytes)}</ETag></CompleteMultipartUploadResult>`];
  }

  #get({ key, headers }: Exchange): Answer {
    const found = this.objects.get(key);
    if (found === undefined) return [404, errorText('NoSuchKey')];
    const { bytes, writer } = found;
    const told = { etag: etagOf(bytes), 'x-amz-meta-writer': writer };
    if (headers['if-match'] !== undefined && headers['if-match'] !== told.etag) {
      return [412, errorText('PreconditionFailed')];
    }
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
    if (range === null) return [200, bytes, told];
    const [start, end] = [Number(range[1]), Math.min(Number(range[2]) + 1, bytes.byteLength)];
    if (start >= bytes.byteLength) return [416, errorText('InvalidRange')];
    const content = { 'content-range': `bytes ${start}-${end - 1}/${bytes.byteLength}` };
    return [206, bytes.subarray(start, end), { ...told, ...content }];
  }

  #bucketWork(query: URLSearchParams): Answer {
    if (query.has('lifecycle')) return [404, errorText('NoSuchLifecycleConfiguration')];
    if (query.has('object-lock')) return [404, errorText('ObjectLockConfigurationNotFoundError')];
    if (query.has('versioning')) return [200, '<VersioningConfiguration></VersioningConfiguration>'];
    const prefix = query.get('prefix') ?? '';
    if (query.has('uploads')) return this.#listUploads(prefix);
    const size = Math.min(this.dialect.pageSize, Number(query.get('max-keys') ?? 1000));
    const delimiter = query.get('delimiter');
    const after = query.get('continuation-token') ?? '';
    const names = [...this.objects.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => {
        const cut = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
        return cut === -1 ? key : key.slice(0, cut + 1);
      });
    const sorted = [...new Set(names)].toSorted().filter((name) => name > after);
    const page = sorted.slice(0, size);
    const more = sorted.length > size;
    const items = page.map((name) => {
      const found = this.objects.get(name);
      if (found === undefined) return `<CommonPrefixes><Prefix>${name}</Prefix></CommonPrefixes>`;
      const at = found.at.toISOString();
      return `<Contents><Key>${name}</Key><Size>${found.bytes.byteLength}</Size><LastModified>${at}</LastModified></Contents>`;
    });
    const next = more ? `<NextContinuationToken>${page.at(-1) ?? ''}</NextContinuationToken>` : '';
    return [200, `<ListBucketResult><IsTruncated>${more}</IsTruncated>${next}${items.join('')}</ListBucketResult>`];
  }

  #listUploads(prefix: string): Answer {
    const items = [...this.uploads]
      .filter(([, { key }]) => key.startsWith(prefix))
      .map(
        ([id, { key, at }]) =>
          `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${at.toISOString()}</Initiated></Upload>`,
      );
    return [200, `<ListMultipartUploadsResult>${items.join('')}</ListMultipartUploadsResult>`];
  }

  #listParts(id: string): Answer {
    const upload = this.uploads.get(id);
    if (upload === undefined) return [404, errorText('NoSuchUpload')];
    const parts = [...upload.parts.keys()].map(
      (number) =>
        `<Part><PartNumber>${number}</PartNumber><LastModified>${upload.at.toISOString()}</LastModified></Part>`,
    );
    return [200, `<ListPartsResult>${parts.join('')}</ListPartsResult>`];
  }
}

interface Exchange {
  readonly key: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
  readonly headers: IncomingMessage['headers'];
}

type Answer = readonly [status: number, body: string | Buffer, headers?: Readonly<Record<string, string>>];

function errorText(code: string): string {
  return `<Error><Code>${code}</Code><Message>no</Message></Error>`;
}

function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'application/xml', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function etagOf(bytes: Buffer): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
