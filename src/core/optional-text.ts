import * as z from 'zod';

/** A text that may be empty, read by a function that says which rule it breaks. */
export function optional<T>(read: (text: string) => T | Wrong): z.ZodType<T | undefined, string> {
  return z.string().transform((text, context): T | undefined => {
    if (text.trim() === '') return undefined;
    const value = read(text.trim());
    if (!(value instanceof Wrong)) return value;
    context.addIssue(value.why);
    return z.NEVER;
  });
}

/** Which rule a text breaks. */
export class Wrong {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}
