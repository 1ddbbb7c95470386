// oauth4webapi: every answer is checked against the RFC that it belongs to,
// and a resource server checks access tokens as RFC 9068 says.

import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { audience, base, clientId, clientSecret, issuer, otherToken, scope } from './service.mjs'

const insecure = { [oauth.allowInsecureRequests]: true }
const self = { client_id: clientId }

for (const algorithm of ['oauth2', 'oidc']) {
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...insecure, algorithm }))
  assert.equal(as.issuer, base)

  for (const way of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
    const auth = way(clientSecret)
    const grant = async (parameters = {}, by = auth) =>
      oauth.processClientCredentialsResponse(as, self, await oauth.clientCredentialsGrantRequest(as, self, by, parameters, insecure))
    const introspect = async (token, by = auth) =>
      oauth.processIntrospectionResponse(as, self, await oauth.introspectionRequest(as, self, by, token, insecure))
    const revoke = async (token, by = auth) => oauth.processRevocationResponse(await oauth.revocationRequest(as, self, by, token, insecure))

    const tokens = await grant({ scope, resource: audience })
    assert.equal(tokens.token_type, 'bearer')
    assert.ok([899, 900].includes(tokens.expires_in)) // 899 where a second begins meanwhile
    assert.equal(tokens.scope, scope)

    const claims = await validate(as, tokens.access_token, audience)
    assert.equal(claims.iss, base)
    assert.equal(claims.sub, clientId)
    assert.equal(claims.client_id, clientId)
    assert.equal(claims.scope, scope)
    assert.deepEqual(claims.aud, [audience])
    assert.equal(claims.exp - claims.iat, 900)
    await assert.rejects(validate(as, tokens.access_token, base), { code: oauth.JWT_CLAIM_COMPARISON })
    await assert.rejects(validate(as, tokens.access_token, audience, ['RS256']), /unexpected JWT "alg"/)
    const [header, payload] = tokens.access_token.split('.')
    await assert.rejects(validate(as, `${header}.${payload}.${'A'.repeat(86)}`, audience), /signature verification failed/)

    assert.equal((await validate(as, otherToken, base)).client_id, 'identity')
    assert.equal((await validate(as, (await grant()).access_token, base)).sub, clientId)

    const about = await introspect(tokens.access_token)
    assert.equal(about.active, true)
    assert.equal(about.jti, claims.jti)
    assert.equal(about.exp, claims.exp)
    assert.deepEqual(about.aud, [audience])

    assert.equal(await revoke(tokens.access_token), undefined)
    assert.deepEqual(await introspect(tokens.access_token), { active: false })
    assert.equal(await revoke(tokens.access_token), undefined)
    assert.equal(await revoke(otherToken), undefined)
    assert.equal(await revoke('nonsense'), undefined)

    await assert.rejects(grant({ scope: 'nonsense' }), { code: oauth.RESPONSE_BODY_ERROR, status: 400, error: 'invalid_scope' })
    const stranger = way('a:b c+d%20e&f=g/🙂')
    for (const refused of [() => grant({}, stranger), () => introspect(otherToken, stranger), () => revoke(otherToken, stranger)]) {
      await assert.rejects(refused, { code: oauth.WWW_AUTHENTICATE_CHALLENGE, status: 401 })
    }
  }
}

// validate does what a resource server does with a request that it gets.
function validate(as, token, expected, signingAlgorithms = ['ES256']) {
  const request = new Request('https://resource.test/', { headers: { authorization: `Bearer ${token}` } })
  return oauth.validateJwtAccessToken(as, request, expected, { ...insecure, signingAlgorithms })
}

console.log('done')
