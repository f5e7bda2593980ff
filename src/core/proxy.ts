import type * as z from 'zod';
import { optional, Wrong } from './optional-text.ts';
import { Secret } from './secret.ts';

/** The proxies through which a store is reached. */
export interface Proxies {
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Hosts that are reached without one, as everybody writes them in NO_PROXY. */
  readonly no: string | undefined;
}

/** What stands in a URL of a proxy may be a password. */
export const proxySchema: z.ZodType<string | undefined, string> = optional((text): string | Wrong => {
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(full)) return new Wrong('no URL such as http://proxy.example.com:3128');
  const url = new URL(full);
  if (url.password !== '') void new Secret(url.password);
  if (!/^https?:$/.test(url.protocol)) return new Wrong('proxies of http:// and https:// are known');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') return new Wrong('nothing stands behind the port');
  return url.href.replace(/\/$/, '');
});

/** Networks such as 10.0.0.0/8, which a model names, become ranges, which Node knows. */
export const noProxySchema: z.ZodType<string | undefined, string> = optional((text): string | Wrong => {
  const hosts = text.split(/[\s,]+/).filter((host) => host !== '');
  if (hosts.some((host) => host.includes('://'))) return new Wrong('hosts have no http:// in front');
  return hosts.map(asRange).join(',');
});

/** A network of IPv4 as its first and last address; anything else as it is. */
function asRange(host: string): string {
  const [, address = '', bits = ''] = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(host) ?? [];
  const parts = address.split('.').map(Number);
  if (bits === '' || Number(bits) > 32 || parts.some((part) => part > 255)) return host;
  const size = 2 ** (32 - Number(bits));
  const number = parts.reduce((sum, part) => sum * 256 + part, 0);
  const first = number - (number % size);
  return `${dotted(first)}-${dotted(first + size - 1)}`;
}

function dotted(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}
