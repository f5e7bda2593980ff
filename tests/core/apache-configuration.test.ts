import { expect, test } from 'vitest';
import { readApacheReferences } from '../../src/core/apache-configuration.ts';

test('a virtual host tells its certificates, keys and further files', () => {
  const references = readApacheReferences(`<VirtualHost *:443>
    SSLCertificateFile    /etc/ssl/certs/landscape_server.pem
    sslcertificatekeyfile "/etc/ssl/private/a key.pem"
    SSLCertificateChainFile \\
        chain.pem
    SSLCACertificateFile /etc/ssl/ca.pem
    # SSLCertificateFile /etc/ssl/certs/old.pem
    SSLCertificateKeyFile pkcs11:token=x
    SSLCertificateFile \${CERTIFICATES}/x.pem
    Include /etc/letsencrypt/options-ssl-apache.conf
    IncludeOptional conf-available/*.conf
</VirtualHost>
`);

  expect(references).toEqual({
    certificates: ['/etc/ssl/certs/landscape_server.pem', '/etc/ssl/private/a key.pem', 'chain.pem', '/etc/ssl/ca.pem'],
    includes: ['/etc/letsencrypt/options-ssl-apache.conf', 'conf-available/*.conf'],
  });
});
