package store

import "strings"

// Types of events, noun and verb. docs/events.md says what each means.
const (
	EventOrganizationCreated     = "organization.created"
	EventOrganizationUpdated     = "organization.updated"
	EventUserCreated             = "user.created"
	EventUserUpdated             = "user.updated"
	EventUserEnabled             = "user.enabled"
	EventUserDisabled            = "user.disabled"
	EventUserUnlocked            = "user.unlocked"
	EventUserRecovered           = "user.recovered"
	EventUserActivated           = "user.activated"
	EventUserActivationSent      = "user.activation_sent"
	EventUserActivationWithheld  = "user.activation_withheld"
	EventUserPasswordChanged     = "user.password_changed"
	EventUserDeleted             = "user.deleted"
	EventUserUndeleted           = "user.undeleted"
	EventUserErased              = "user.erased"
	EventUserPurged              = "user.purged"
	EventServiceAccountCreated   = "service_account.created"
	EventServiceAccountEnabled   = "service_account.enabled"
	EventServiceAccountDisabled  = "service_account.disabled"
	EventServiceAccountDeleted   = "service_account.deleted"
	EventCredentialCreated       = "credential.created"        //nolint:gosec // the name of an event, no credential
	EventCredentialDeleted       = "credential.deleted"        //nolint:gosec // the name of an event, no credential
	EventCredentialTokensRevoked = "credential.tokens_revoked" //nolint:gosec // the name of an event, no credential
	EventPrincipalTokensRevoked  = "principal.tokens_revoked"
	EventTokenRevoked            = "token.revoked"
	EventSessionEnded            = "session.ended"
	EventGrantAdded              = "grant.added"
	EventGrantRemoved            = "grant.removed"
	EventSigningKeyCreated       = "signing_key.created"
	EventSigningKeyRevoked       = "signing_key.revoked"
)

// ChangesRoles tells whether the event is about roles or the permissions in
// them, so that what roles amount to has to be added up anew.
func (e Event) ChangesRoles() bool {
	return strings.HasPrefix(e.Type, "role.") || strings.HasPrefix(e.Type, "permission.")
}

// ChangesKeys tells whether the event is about signing keys.
func (e Event) ChangesKeys() bool { return strings.HasPrefix(e.Type, "signing_key.") }

// ChangesOrganization tells whether the event is about the organization itself.
func (e Event) ChangesOrganization() bool { return strings.HasPrefix(e.Type, "organization.") }
