import type { S3Destination } from '../core/destination.ts';
import type { S3Asker } from './s3-client.ts';
import { s3Failure } from './s3-failure.ts';

/** A place in a store: its bucket, and how our keys are called there. */
export class S3Bucket {
  readonly asker: S3Asker;
  readonly name: string;
  readonly prefix: string;
  readonly url: string;

  constructor(destination: S3Destination, asker: S3Asker) {
    this.asker = asker;
    this.name = destination.bucket;
    this.prefix = destination.prefix;
    this.url = destination.url;
  }

  /** Names of our own that are no objects: a key has no part that begins with a dot. */
  probe(random: string): string {
    return `${this.prefix}${probeName}${random}`;
  }

  /** What bucket and key are to a request. */
  at(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.name, Key: key };
  }

  /** What an asking came to; its error becomes what it means for the key. */
  async said<T>(key: string, asked: Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      throw s3Failure(error, key === '' ? this.url : `${this.url}/${key}`);
    }
  }
}

/** How names of probes begin, below the prefix. */
export const probeName = '.probe-';
