package store

import "context"

// Lists of users and service accounts with a filter are found by statements that
// cannot stop by themselves. Where one takes too long, the list is read along its
// order instead, in chunks, as far as the bounds allow.

// ListUsers returns a page of the users who match, and counts them by state: exactly
// where at most the state is asked for, up to a cap in all otherwise.
func (r Reads) ListUsers(ctx context.Context, org string, f UserFilter, p Page, limit int) (found Found[User], sum Tally, err error) {
	if f.State == Deleted {
		return r.listDeleted(ctx, org, f, p, limit)
	}
	done, err := r.inTime(ctx, func(ctx context.Context) (err error) {
		found.Rows, sum.Badges, err = r.searchUsers(ctx, org, f, p, limit)
		return err
	})
	if done || err != nil {
		sum.Matched = sum.total()
		return found, sum, err
	}
	if found, err = along(ctx, r, f.along(org, p.Order), p); err != nil {
		return found, sum, err
	}
	of(org, found.Rows)
	if f.Counted() {
		sum.Badges, err = r.Badges(ctx, org)
		sum.Badges = sum.only(f.State)
		sum.Matched = sum.total()
		return found, sum, err
	}
	const kinds = `COUNT(*) FILTER (WHERE enabled AND confirmed) AS users_active,
		COUNT(*) FILTER (WHERE enabled AND NOT confirmed) AS users_pending, COUNT(*) FILTER (WHERE NOT enabled) AS users_disabled, `
	sum, err = tally(ctx, r, f.along(org, "create_time"), Page{}, kinds, `id`, limit)
	return found, sum, err
}

// listDeleted is ListUsers for those who are deleted. They are not counted by state.
func (r Reads) listDeleted(ctx context.Context, org string, f UserFilter, p Page, limit int) (found Found[User], sum Tally, err error) {
	if found, err = along(ctx, r, f.along(org, p.Order), p); err != nil {
		return found, sum, err
	}
	of(org, found.Rows)
	sum, err = tally(ctx, r, f.along(org, "create_time"), Page{}, ``, `id`, limit)
	return found, sum, err
}

func (f UserFilter) along(org, order string) way[User] {
	return way[User]{
		table: `users`, columns: listColumns, column: userOrders[order], fields: listFields,
		at: func(u User) Cursor { return u.Cursor(order) },
		path: func() *where {
			if f.State == Deleted {
				return newWhere(gone, org)
			}
			return newWhere(everybody, org)
		},
		rows: f.passing(),
	}
}

// ServiceAccounts returns a page of service accounts.
func (r Reads) ServiceAccounts(ctx context.Context, org string, f AccountFilter, p Page) (found Found[ServiceAccount], err error) {
	done, err := r.inTime(ctx, func(ctx context.Context) error {
		w := f.where(org)
		order := p.keyset(w, accountOrders[p.Order])
		return r.all(ctx, &found.Rows, `SELECT `+accountColumns+` FROM service_accounts`+w.String()+order+limited, append(w.args, p.Limit, p.Skip)...)
	})
	if done || err != nil {
		return found, err
	}
	return along(ctx, r, f.along(org, p.Order), p)
}

// CountServiceAccounts counts the service accounts that match, up to a cap.
func (r Reads) CountServiceAccounts(ctx context.Context, org string, f AccountFilter, limit int) (sum Tally, err error) {
	done, err := r.inTime(ctx, func(ctx context.Context) error {
		w := f.where(org)
		return r.one(ctx, &sum.Badges, `
			SELECT COUNT(*) AS accounts_total, COUNT(*) FILTER (WHERE enabled) AS accounts_active
			FROM (SELECT enabled FROM service_accounts`+w.String()+` LIMIT ?) AS matched`, append(w.args, limit)...)
	})
	if done || err != nil {
		sum.Matched = sum.AccountsTotal
		return sum, err
	}
	const kinds = `COUNT(*) AS accounts_total, COUNT(*) FILTER (WHERE enabled) AS accounts_active, `
	return tally(ctx, r, f.along(org, "create_time"), Page{}, kinds, `id`, limit)
}

func (f AccountFilter) along(org, order string) way[ServiceAccount] {
	return way[ServiceAccount]{
		table: `service_accounts`, columns: accountColumns, column: accountOrders[order], fields: accountFields,
		at:   func(a ServiceAccount) Cursor { return a.Cursor(order) },
		path: func() *where { return newWhere(`organization_id = ? AND delete_time = 0`, org) }, rows: f.where(org),
	}
}

func accountFields(a *ServiceAccount) []any {
	return []any{
		&a.Org, &a.ID, &a.DisplayName, &a.NameKey, &a.Description, &a.Enabled, &a.ParentType, &a.ParentID, &a.ParentName,
		&a.Audiences, &a.AllowedNetworks, &a.TokenLifetime, &a.Epoch, &a.Version, &a.Created, &a.Updated, &a.CreatedBy, &a.LastUsed, &a.Deleted,
	}
}
