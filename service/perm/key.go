package perm

// Keys of the areas that are this service's own. The options of RPCs name them
// too; docs/permissions.md says what each allows.
const (
	Administer                     = "platform.administer"
	UsersRead                      = "platform.users.read"
	UsersWrite                     = "platform.users.write"
	ServiceAccountsRead            = "platform.serviceaccounts.read"
	ServiceAccountsWrite           = "platform.serviceaccounts.write"
	RolesRead                      = "platform.roles.read"
	RolesWrite                     = "platform.roles.write"
	OrganizationRead               = "platform.organization.read"
	OrganizationWrite              = "platform.organization.write"
	EventsRead                     = "platform.events.read"
	TokensWrite                    = "platform.tokens.write"
	TokensIntrospect               = "platform.tokens.introspect"
	TokensActFor                   = "platform.tokens.actfor"
	AccessCheck                    = "platform.access.check"
	BillingRead                    = "platform.billing.read"
	BillingWrite                   = "platform.billing.write"
	SystemOrganizationsRead        = "system.organizations.read"
	SystemOrganizationsWrite       = "system.organizations.write"
	SystemOrganizationsAct         = "system.organizations.act"
	SystemAccessCheck              = "system.access.check"
	SystemTokensIntrospect         = "system.tokens.introspect"
	SystemServiceAccountsProvision = "system.serviceaccounts.provision"
	SystemPermissionsWrite         = "system.permissions.write"
)

// SystemPrefix begins the keys of the platform itself, which count in the
// platform organization only: no role holds them by its Everything.
const SystemPrefix = "system."
