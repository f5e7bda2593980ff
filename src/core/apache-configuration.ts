/** What a virtual host names that belongs to it: certificates, keys, and other files of configuration. */
export interface ApacheReferences {
  /** As written: absolute, or below the server's root. */
  readonly certificates: readonly string[];
  /** Patterns of further files, as written. */
  readonly includes: readonly string[];
}

const certificateDirective =
  /^\s*SSL(?:CertificateFile|CertificateKeyFile|CertificateChainFile|CACertificateFile|CACertificatePath|ProxyCACertificateFile|ProxyMachineCertificateFile|OpenSSLConfCmd\s+DHParameters)\s+(.+?)\s*$/i;
const includeDirective = /^\s*Include(?:Optional)?\s+(.+?)\s*$/i;

/** Reads the directives of a virtual host that name files; comments are passed over, lines that end in a backslash go on. */
export function readApacheReferences(text: string): ApacheReferences {
  const certificates: string[] = [];
  const includes: string[] = [];
  for (const line of text.replaceAll(/\\\r?\n/g, ' ').split(/\r?\n/)) {
    const certificate = certificateDirective.exec(line)?.[1];
    if (certificate !== undefined) certificates.push(unquoted(certificate));
    const include = includeDirective.exec(line)?.[1];
    if (include !== undefined) includes.push(unquoted(include));
  }
  return { certificates: certificates.filter(isFile), includes };
}

function unquoted(argument: string): string {
  return /^"((?:[^"\\]|\\.)*)"/.exec(argument)?.[1]?.replaceAll(/\\(.)/g, '$1') ?? argument;
}

/** Since 2.4 a key may come from a token (`pkcs11:…`); a variable of Apache's is not known here. */
function isFile(argument: string): boolean {
  return !/^[a-z0-9]+:/i.test(argument) && !argument.includes('${');
}
