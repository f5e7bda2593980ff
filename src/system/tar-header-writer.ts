import { tarBlock, tarPadding } from './tar-header.ts';

/** What a header of a tar tells of a member. */
export interface TarHead {
  /** Relative; a directory's ends with a slash. */
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'link';
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
  /** Their numbers, where these mean something on another machine; else 0, and the names count. */
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes: number;
  readonly target: string | null;
  readonly modifiedAt: Date;
}

/** The blocks that come before a member's contents; longer names than a header holds stand in a member before it. */
export function tarHeaders(head: TarHead): Buffer {
  const { name, owner, group, sizeBytes } = head;
  const target = head.target ?? '';
  const seconds = Math.max(0, Math.floor(head.modifiedAt.getTime() / 1000));
  const long = {
    path: fits(name, 100) ? undefined : name,
    linkpath: fits(target, 100) ? undefined : target,
    uname: fits(owner, 32) ? undefined : owner,
    gname: fits(group, 32) ? undefined : group,
    size: sizeBytes < 8 ** 11 ? undefined : String(sizeBytes),
  };
  const records = Object.entries(long).flatMap(([key, value]) => (value === undefined ? [] : [paxRecord(key, value)]));
  const { mode, uid = 0, gid = 0 } = head;
  const header = ustar({ name, target, seconds, flag: flags[head.kind], mode, owner, group, uid, gid, sizeBytes });
  if (records.length === 0) return header;
  const body = Buffer.from(records.join(''));
  const about = ustar({
    name: 'PaxHeaders/member',
    target: '',
    seconds,
    flag: 'x',
    mode: 0o644,
    owner: '',
    group: '',
    uid: 0,
    gid: 0,
    sizeBytes: body.length,
  });
  return Buffer.concat([about, body, Buffer.alloc(tarPadding(body.length)), header]);
}

const flags = { file: '0', link: '2', directory: '5' } as const;

function fits(text: string, bytes: number): boolean {
  return Buffer.byteLength(text) <= bytes;
}

/** `<length> <key>=<value>\n`, where the length counts its own digits. Source: pax(1), "pax Extended Header". */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

interface Ustar {
  readonly name: string;
  readonly target: string;
  readonly seconds: number;
  readonly flag: string;
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
}

function ustar({ name, target, seconds, flag, mode, owner, group, uid, gid, sizeBytes }: Ustar): Buffer {
  const block = Buffer.alloc(tarBlock);
  const octal = (value: number, at: number, length: number) => {
    block.write(value.toString(8).padStart(length - 1, '0'), at, length - 1, 'ascii');
  };
  put(block, name, 0, 100);
  octal(mode, 100, 8);
  octal(uid < 8 ** 7 ? uid : 0, 108, 8);
  octal(gid < 8 ** 7 ? gid : 0, 116, 8);
  octal(sizeBytes < 8 ** 11 ? sizeBytes : 0, 124, 12);
  octal(Math.min(seconds, 8 ** 11 - 1), 136, 12);
  block.write('        ', 148, 'ascii');
  block.write(flag, 156, 'ascii');
  put(block, target, 157, 100);
  block.write('ustar\u000000', 257, 'ascii');
  put(block, owner, 265, 32);
  put(block, group, 297, 32);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148, 'ascii');
  return block;
}

function put(block: Buffer, text: string, at: number, length: number): void {
  const bytes = Buffer.from(text);
  bytes.copy(block, at, 0, Math.min(bytes.length, length));
}
