// What @azure/keyvault-secrets does with a vault, its check of host names on.
// Every host is this machine; everything else is as anybody would write it.
const dns = require('dns')
dns.lookup = (host, options, done) => {
  if (typeof options === 'function') done = options
  if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }])
  else done(null, '127.0.0.1', 4)
}
const assert = require('assert')
const { ClientSecretCredential } = require('@azure/identity')
const { SecretClient } = require('@azure/keyvault-secrets')
const { VAULT, LOGIN, TENANT, CLIENT, SECRET, VALUE } = process.env

async function main () {
  const credential = new ClientSecretCredential(TENANT, CLIENT, SECRET, { authorityHost: LOGIN, disableInstanceDiscovery: true })
  const client = new SecretClient(VAULT, credential, { retryOptions: { maxRetries: 0 } })
  const set = await client.setSecret('js', VALUE, { contentType: 'text', tags: { a: 'b' } })
  assert.equal(set.value, VALUE)
  assert.equal((await client.getSecret('js')).value, VALUE)
  assert.equal((await client.getSecret('js', { version: set.properties.version })).properties.tags.a, 'b')
  await client.updateSecretProperties('js', set.properties.version, { enabled: false })
  await assert.rejects(client.getSecret('js'), { statusCode: 403, code: 'Forbidden' })
  let found = 0
  for await (const s of client.listPropertiesOfSecrets()) found += s.name === 'js' ? 1 : 0
  for await (const s of client.listPropertiesOfSecretVersions('js')) found += s.version === set.properties.version ? 1 : 0
  assert.equal(found, 2)
  const backup = await client.backupSecret('js')
  await (await client.beginDeleteSecret('js', { intervalInMs: 50 })).pollUntilDone()
  await (await client.beginRecoverDeletedSecret('js', { intervalInMs: 50 })).pollUntilDone().catch(e => assert.equal(e.statusCode, 403)) // it looks at the secret, which is disabled
  await (await client.beginDeleteSecret('js', { intervalInMs: 50 })).pollUntilDone()
  await client.purgeDeletedSecret('js')
  await client.restoreSecretBackup(backup)
  await assert.rejects(client.getSecret('none'), { statusCode: 404, code: 'SecretNotFound' })
  console.log('done')
}
main().catch(e => { console.error(e); process.exit(1) })
