// jose: the remote key set, across a rotation.

import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import * as jose from 'jose'
import { audience, base, clientId, clientSecret } from './service.mjs'

// A key that signs at once is news to a set that was fetched a moment ago. By
// default jose asks again only after half a minute; a tenth of it will do here.
const keys = jose.createRemoteJWKSet(new URL(base + '/.well-known/jwks.json'), { cooldownDuration: 3000 })
const want = { issuer: base, audience, typ: 'at+jwt', algorithms: ['ES256'], requiredClaims: ['sub', 'jti', 'exp', 'client_id'] }

const former = await token()
const { payload, protectedHeader, key } = await jose.jwtVerify(former, keys, want)
assert.equal(protectedHeader.typ, 'at+jwt')
assert.equal(protectedHeader.alg, 'ES256')
assert.equal(payload.sub, clientId)
assert.equal(payload.client_id, clientId)
assert.equal(key.type, 'public')

// The id of a key is its thumbprint (RFC 7638).
const published = keys.jwks().keys
assert.equal(published.length, 1)
assert.equal(published[0].kid, protectedHeader.kid)
assert.equal(await jose.calculateJwkThumbprint(published[0]), protectedHeader.kid)

const rejects = (token, change, code) => assert.rejects(jose.jwtVerify(token, keys, { ...want, ...change }), { code })
await rejects(former, { issuer: base + '/' }, 'ERR_JWT_CLAIM_VALIDATION_FAILED')
await rejects(former, { audience: base }, 'ERR_JWT_CLAIM_VALIDATION_FAILED')
await rejects(former, { typ: 'JWT' }, 'ERR_JWT_CLAIM_VALIDATION_FAILED')
await rejects(former, { algorithms: ['RS256'] }, 'ERR_JOSE_ALG_NOT_ALLOWED')
await rejects(former, { currentDate: new Date(Date.now() + 3600_000) }, 'ERR_JWT_EXPIRED')
const [header, body] = former.split('.')
await rejects(`${header}.${body}.${'A'.repeat(86)}`, {}, 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED')

console.log('rotate')
const lines = createInterface({ input: process.stdin })
await new Promise((resolve) => lines.once('line', resolve))
lines.close()

let latest
for (const end = Date.now() + 60_000; ; await setTimeout(200)) {
  latest = await token()
  if (kid(latest) !== protectedHeader.kid) break
  assert.ok(Date.now() < end, 'the new key does not sign')
}
if (keys.coolingDown) await setTimeout(3000)
const second = await jose.jwtVerify(latest, keys, want)
assert.equal(second.protectedHeader.kid, kid(latest))
await jose.jwtVerify(former, keys, want)
assert.equal(keys.jwks().keys.length, 2)

// token gets one the plain way.
async function token() {
  const resp = await fetch(base + '/oauth2/token', {
    method: 'POST',
    headers: { authorization: 'Basic ' + Buffer.from(`${clientId}:${clientSecret}`).toString('base64') },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience }),
  })
  assert.equal(resp.status, 200)
  return (await resp.json()).access_token
}

function kid(token) {
  return jose.decodeProtectedHeader(token).kid
}

console.log('done')
