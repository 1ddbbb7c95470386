// openid-client: discovery, client credentials, introspection, revocation.

import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { audience, base, clientId, clientSecret, issuer, otherToken, scope } from './service.mjs'

const ways = {
  basic: client.ClientSecretBasic,
  post: client.ClientSecretPost,
}

for (const algorithm of ['oauth2', 'oidc']) {
  for (const [name, way] of Object.entries(ways)) {
    const discovered = (secret) =>
      client.discovery(issuer, clientId, undefined, way(secret), { algorithm, execute: [client.allowInsecureRequests] })
    const config = await discovered(clientSecret)
    const metadata = config.serverMetadata()
    assert.equal(metadata.issuer, base)
    assert.equal(metadata.revocation_endpoint, base + '/oauth2/revoke')
    for (const endpoint of ['token', 'introspection', 'revocation']) {
      assert.ok(metadata[endpoint + '_endpoint_auth_methods_supported'].includes('client_secret_' + name))
    }

    const tokens = await client.clientCredentialsGrant(config, { scope, resource: audience })
    assert.equal(tokens.token_type, 'bearer')
    assert.equal(tokens.scope, scope)
    assert.ok([899, 900].includes(tokens.expires_in)) // 899 where a second begins meanwhile
    assert.equal(tokens.refresh_token, undefined)

    const about = await client.tokenIntrospection(config, tokens.access_token)
    assert.equal(about.active, true)
    assert.equal(about.client_id, clientId)
    assert.equal(about.sub, clientId)
    assert.equal(about.iss, base)
    assert.equal(about.scope, scope)
    assert.equal(about.token_type, 'Bearer')
    assert.deepEqual(about.aud, [audience])
    assert.equal(about.exp - about.iat, 900)

    const own = (await client.clientCredentialsGrant(config)).access_token
    const me = await client.fetchProtectedResource(config, own, new URL(base + '/v1/me'), 'GET')
    assert.equal((await me.json()).serviceAccount.id, clientId)

    for (const hint of ['access_token', 'refresh_token', 'something_else', undefined]) {
      const { access_token } = await client.clientCredentialsGrant(config)
      const parameters = hint && { token_type_hint: hint }
      assert.equal((await client.tokenIntrospection(config, access_token, parameters)).active, true)
      assert.equal(await client.tokenRevocation(config, access_token, parameters), undefined)
      assert.deepEqual(await client.tokenIntrospection(config, access_token, parameters), { active: false })
      assert.equal(await client.tokenRevocation(config, access_token, parameters), undefined)
      await assert.rejects(client.fetchProtectedResource(config, access_token, new URL(base + '/v1/me'), 'GET'), challenge('bearer', 'invalid_token'))
    }
    for (const foreign of [otherToken, 'nonsense', 'a b+c%20d&e=f', 'ф🙂']) {
      assert.deepEqual(await client.tokenIntrospection(config, foreign), { active: false })
      assert.equal(await client.tokenRevocation(config, foreign), undefined)
    }

    await assert.rejects(client.clientCredentialsGrant(config, { scope: 'platform.administer' }), { status: 400, error: 'invalid_scope' })
    await assert.rejects(client.clientCredentialsGrant(config, { resource: 'https://other.test' }), { status: 400, error: 'invalid_target' })
    const stranger = await discovered('a:b c+d%20e&f=g/🙂')
    await assert.rejects(client.clientCredentialsGrant(stranger), challenge('basic'))
    await assert.rejects(client.tokenIntrospection(stranger, own), challenge('basic'))
    await assert.rejects(client.tokenRevocation(stranger, own), challenge('basic'))
    assert.equal((await client.tokenIntrospection(config, own)).active, true)
  }
}

// challenge is what an error must be when the service answers 401.
function challenge(scheme, error) {
  return (err) => {
    assert.equal(err.status, 401)
    assert.equal(err.code, 'OAUTH_WWW_AUTHENTICATE_CHALLENGE')
    assert.equal(err.cause.length, 1)
    assert.equal(err.cause[0].scheme, scheme)
    assert.equal(err.cause[0].parameters.error, error)
    return true
  }
}

console.log('done')
