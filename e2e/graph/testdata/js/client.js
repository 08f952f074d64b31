// Microsoft's client of Graph in JavaScript finds Operator Connect, registers a
// program, reads all pages of a list, and hears why something is refused.
const assert = require('node:assert')
const { ClientSecretCredential } = require('@azure/identity')
const { Client, PageIterator } = require('@microsoft/microsoft-graph-client')
const { TokenCredentialAuthenticationProvider } = require('@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials')

const { GRAPH, TENANT, CLIENT, SECRET } = process.env
const credential = new ClientSecretCredential(TENANT, CLIENT, SECRET, { authorityHost: GRAPH, disableInstanceDiscovery: true })
const graph = Client.initWithMiddleware({
  authProvider: new TokenCredentialAuthenticationProvider(credential, { scopes: [GRAPH + '/.default'] }),
  baseUrl: GRAPH, customHosts: new Set([new URL(GRAPH).hostname, new URL(GRAPH).host]),
})
const synergy = 'eb63d611-525e-4a31-abd7-0cb33f679599'

async function main () {
  const added = await graph.api('/servicePrincipals').post({ appId: synergy, displayName: 'Operator Connect' })
  const found = await graph.api('/servicePrincipals').filter(`appId eq '${synergy}'`).select(['id', 'displayName']).get()
  assert.deepStrictEqual(found.value, [{ id: added.id, displayName: 'Operator Connect' }])
  const searched = await graph.api('/servicePrincipals').header('ConsistencyLevel', 'eventual').search('"displayName:synergy"').count(true).get()
  assert.strictEqual(searched['@odata.count'], 1)

  for (let i = 0; i < 5; i++) await graph.api('/groups').post({ displayName: `group ${i}`, mailEnabled: false, mailNickname: `g${i}`, securityEnabled: true })
  const names = []
  await new PageIterator(graph, await graph.api('/groups').top(2).orderby('displayName').get(), (g) => names.push(g.displayName) > 0).iterate()
  assert.deepStrictEqual(names, ['group 0', 'group 1', 'group 2', 'group 3', 'group 4'])

  const app = await graph.api('/applications').post({ displayName: 'Call Duration', signInAudience: 'AzureADMyOrg' })
  const secret = await graph.api(`/applications/${app.id}/addPassword`).post({ passwordCredential: { displayName: 'first' } })
  assert.ok(secret.secretText.length > 30)
  await graph.api(`/applications/${app.id}`).update({ tags: ['cdu'] })
  await graph.api(`/applications/${app.id}`).delete()
  await assert.rejects(graph.api(`/applications/${app.id}`).get(), (e) => e.statusCode === 404 && e.code === 'Request_ResourceNotFound' && Boolean(e.requestId))
  console.log('done')
}
main().catch(e => { console.error(e); process.exit(1) })
