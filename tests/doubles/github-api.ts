import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';

/** A file of a release in the double. */
export interface DoubleAsset {
  readonly id: number;
  readonly name: string;
  state: 'uploaded' | 'starter';
  bytes: Buffer;
}

interface DoubleRelease {
  readonly id: number;
  readonly tag_name: string;
  readonly target_commitish: string;
  readonly body: string;
  draft: boolean;
  readonly assets: DoubleAsset[];
}

/** What the double answers to one request instead of doing it; `undefined` lets it be done. */
export type Fault = (request: {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer;
}) => { readonly status: number; readonly headers?: Record<string, string>; readonly thenDo?: boolean } | undefined;

const repository = '/repos/owner/project';
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/**
 * The part of GitHub's API that a release uses, over HTTP on the loopback.
 *
 * Sources: docs.github.com/en/rest/releases: a draft has no tag and is not found by one; it is listed to those with the right
 * to write only; an upload under a name that is taken is a 422; one that broke off leaves an asset in the state `starter`.
 */
export class GithubApi {
  readonly releases: DoubleRelease[] = [];
  /** The tags: their names and commits. */
  readonly tags = new Map<string, string>();
  /** Every request that was done or refused, as `METHOD path`. */
  readonly requests: string[] = [];
  readonly token = 'ghp_0123456789abcdefghijklmnopqrstuvwxyz';
  /** Whether assets carry their digest, as they do since 2025. */
  tellsDigests = true;
  fault: Fault = () => undefined;
  #next = 1;
  readonly #server = createServer((request, response) => {
    void this.#answer(request, response);
  });

  /** Starts it and gives back its address. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    return this.#address;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The requests that change something. */
  get changes(): readonly string[] {
    return this.requests.filter((request) => !request.startsWith('GET '));
  }

  addRelease(tag: string, commit: string, draft = false): DoubleRelease {
    const release = { id: this.#next++, tag_name: tag, target_commitish: commit, body: '', draft, assets: [] };
    this.releases.push(release);
    if (!draft) this.tags.set(tag, commit);
    return release;
  }

  addAsset(release: DoubleRelease, name: string, bytes: Buffer, state: DoubleAsset['state'] = 'uploaded'): DoubleAsset {
    const asset = { id: this.#next++, name, bytes, state };
    release.assets.push(asset);
    return asset;
  }

  get #address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the double of GitHub does not listen');
    return `http://127.0.0.1:${address.port}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.#address);
    const method = request.method ?? 'GET';
    const body = await buffer(request);
    this.requests.push(`${method} ${url.pathname}${url.search}`);
    const send = (status: number, value?: unknown, headers: Record<string, string> = {}) => {
      const isBytes = Buffer.isBuffer(value);
      const type = isBytes ? 'application/octet-stream' : 'application/json; charset=utf-8';
      response.writeHead(status, { 'content-type': type, ...headers });
      response.end(isBytes ? value : value === undefined ? '' : JSON.stringify(value));
    };
    const fault = this.fault({ method, path: `${url.pathname}${url.search}`, body });
    if (fault !== undefined) {
      if (fault.thenDo === true) this.#do(method, url, body, request, () => undefined);
      send(fault.status, { message: 'planted' }, fault.headers);
      return;
    }
    const { authorization } = request.headers;
    if (authorization !== undefined && authorization !== `token ${this.token}`) {
      send(401, { message: 'Bad credentials' });
      return;
    }
    if (authorization === undefined && method !== 'GET') {
      send(401, { message: 'Requires authentication' });
      return;
    }
    this.#do(method, url, body, request, send);
  }

  #do(
    method: string,
    url: URL,
    body: Buffer,
    request: IncomingMessage,
    send: (status: number, value?: unknown, headers?: Record<string, string>) => void,
  ): void {
    const what = `${method} ${url.pathname.replace(repository, '')}`;
    const maySeeDrafts = request.headers.authorization !== undefined;
    const byId = (id: string | undefined) => this.releases.find((release) => release.id === Number(id));
    const given = (pattern: RegExp) => pattern.exec(what)?.[1];
    const notFound = () => {
      send(404, { message: 'Not Found' });
    };

    const ref = given(/^GET \/git\/ref\/tags%2F(.+)$/) ?? given(/^GET \/git\/ref\/tags\/(.+)$/);
    if (ref !== undefined) {
      const sha = this.tags.get(ref);
      if (sha === undefined) notFound();
      else send(200, { ref: `refs/tags/${ref}`, object: { type: 'commit', sha } });
      return;
    }
    const tag = given(/^GET \/releases\/tags\/(.+)$/);
    if (tag !== undefined) {
      const release = this.releases.find((each) => each.tag_name === tag && !each.draft);
      if (release === undefined) notFound();
      else send(200, this.#show(release));
      return;
    }
    if (what === 'GET /releases') {
      const shown = this.releases.filter((each) => maySeeDrafts || !each.draft);
      send(
        200,
        shown.map((each) => this.#show(each)),
      );
      return;
    }
    if (what === 'POST /releases') {
      const { tag_name, target_commitish, draft, body: text } = JSON.parse(body.toString()) as DoubleRelease;
      const release = { id: this.#next++, tag_name, target_commitish, draft, body: text, assets: [] };
      this.releases.push(release);
      send(201, this.#show(release));
      return;
    }
    const edited = byId(given(/^PATCH \/releases\/(\d+)$/));
    if (edited !== undefined) {
      const { draft } = JSON.parse(body.toString()) as { draft: boolean };
      edited.draft = draft;
      if (!draft && !this.tags.has(edited.tag_name)) this.tags.set(edited.tag_name, edited.target_commitish);
      send(200, this.#show(edited));
      return;
    }
    const listed = byId(given(/^GET \/releases\/(\d+)\/assets$/));
    if (listed !== undefined) {
      const page = Number(url.searchParams.get('page') ?? 1);
      const size = Number(url.searchParams.get('per_page') ?? 30);
      const next = new URL(url);
      next.searchParams.set('page', String(page + 1));
      const shown = listed.assets.slice((page - 1) * size, page * size).map((asset) => this.#showAsset(asset));
      send(200, shown, page * size < listed.assets.length ? { link: `<${next.href}>; rel="next"` } : {});
      return;
    }
    const filled = byId(given(/^POST \/releases\/(\d+)\/assets$/));
    if (filled !== undefined) {
      const name = url.searchParams.get('name') ?? '';
      if (filled.assets.some((asset) => asset.name === name)) {
        send(422, { message: 'Validation Failed', errors: [{ code: 'already_exists' }] });
        return;
      }
      send(201, this.#showAsset(this.addAsset(filled, name, body)));
      return;
    }
    const holder = this.releases.find((release) =>
      release.assets.some(({ id }) => id === Number(given(/^(?:GET|DELETE) \/releases\/assets\/(\d+)$/))),
    );
    const asset = holder?.assets.find(({ id }) => what.endsWith(`/${id}`));
    if (holder === undefined || asset === undefined) {
      notFound();
      return;
    }
    if (method === 'DELETE') {
      holder.assets.splice(holder.assets.indexOf(asset), 1);
      send(204);
      return;
    }
    send(200, request.headers.accept === 'application/octet-stream' ? asset.bytes : this.#showAsset(asset));
  }

  #show(release: DoubleRelease) {
    return {
      ...release,
      assets: release.assets.map((asset) => this.#showAsset(asset)),
      html_url: `https://github.example/owner/project/releases/${release.tag_name}`,
      upload_url: `${this.#address}${repository}/releases/${release.id}/assets{?name,label}`,
    };
  }

  #showAsset({ id, name, state, bytes }: DoubleAsset) {
    const digest = this.tellsDigests && state === 'uploaded' ? `sha256:${sha256(bytes)}` : null;
    return { id, name, state, size: bytes.byteLength, digest };
  }
}
