// What the tests say about the service that runs.

import assert from 'node:assert/strict'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, AUDIENCE, SCOPE, OTHER_TOKEN } = process.env

for (const value of [ISSUER, CLIENT_ID, CLIENT_SECRET, AUDIENCE, SCOPE, OTHER_TOKEN]) {
  assert.ok(value, 'run it by make test-clients')
}

export const issuer = new URL(ISSUER)
export const audience = AUDIENCE
export const clientId = CLIENT_ID
export const clientSecret = CLIENT_SECRET
export const scope = SCOPE
export const otherToken = OTHER_TOKEN

// base is the issuer as it stands in tokens: a URL object adds a slash to a bare host.
export const base = ISSUER
