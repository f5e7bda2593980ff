/** The version of this program; `package.json` says the same, held by a test. */
export const version = '0.1.0';
