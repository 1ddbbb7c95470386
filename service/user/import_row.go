package user

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/table"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// importRow is a row of an import on its way.
type importRow struct {
	status *identityv1.ImportUsersResponse_Row
	user   store.User
	roles  []string // as the file names them
	add    change.Assignment
	twin   *importRow // an earlier row of the batch with the same address
	lines  string     // "lines 3 to 5" of a row of several
}

// open are the rows that nothing is decided about yet.
func open(rows []*importRow) (undecided []*importRow) {
	for _, row := range rows {
		if row.status.GetOutcome() == identityv1.ImportUsersResponse_Row_OUTCOME_UNSPECIFIED {
			undecided = append(undecided, row)
		}
	}
	return undecided
}

// newImportRow is the row that was read last.
func newImportRow(file *table.Reader, cells []table.Cell) *importRow {
	email := wire.Cut(strings.ToValidUTF8(cells[columnEmail].Text(), "?"), contact.MaxEmail)
	first, last := file.Lines()
	row := &importRow{status: &identityv1.ImportUsersResponse_Row{Row: file.Row(), Line: first, Email: email}}
	if last > first {
		row.lines = fmt.Sprintf("lines %d to %d", first, last)
	}
	return row
}

func (row *importRow) settled(outcome identityv1.ImportUsersResponse_Row_Outcome, id string) {
	row.status.Outcome, row.status.Id = outcome, id
}

// refuse refuses a row. Of one of several lines it says so: a quote that was
// left open may have made it of several rows.
func (row *importRow) refuse(reason string, violations ...string) {
	row.settled(identityv1.ImportUsersResponse_Row_REFUSED, "")
	if row.lines != "" {
		violations = append(slices.Clip(violations), "row: "+row.lines)
	}
	row.status.Reason, row.status.Violations = reason, violations
}

// columnOf names the columns whose fields have other names.
var columnOf = strings.NewReplacer("user.", "", "permission_keys", "permissions", "role_ids", "roles")

// refuseFor refuses a row by the table of errors, like a call.
func (row *importRow) refuseFor(err error) {
	reason, violations := identityv1.Error_INTERNAL.String(), []string(nil)
	for _, d := range answer.Of(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
			if key := d.GetMetadata()["permission"]; key != "" {
				violations = append(violations, "permissions: unknown "+key)
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				violations = append(violations, columnOf.Replace(v.GetField())+": "+v.GetReason())
			}
		}
	}
	row.refuse(reason, violations...)
}

// followTwin gives a row that repeats an address the outcome that follows from
// that of the first.
func (row *importRow) followTwin() {
	if row.twin == nil {
		return
	}
	if first := row.twin.status; first.GetOutcome() == identityv1.ImportUsersResponse_Row_REFUSED {
		row.refuse(first.GetReason(), first.GetViolations()...)
	} else {
		row.settled(identityv1.ImportUsersResponse_Row_EXISTS, first.GetId())
	}
}

// readRow reads a row by the rules of CreateUser. Of the columns of an
// export, those that the server sets are passed over.
func (im *importing) readRow(row *importRow, cells []table.Cell) error {
	in := &identityv1.User{PermissionKeys: cells[columnPermissions]}
	for column, field := range map[int]**string{columnEmail: &in.Email, columnFirstName: &in.FirstName, columnLastName: &in.LastName} {
		if cell := cells[column]; len(cell) > 0 {
			text := contact.Line(cell[0]) // as it is kept, so that this is measured
			*field = &text
		}
	}
	confirmed := cells[columnConfirmed].Text() == "true"
	in.Confirmed = &confirmed
	found, err := im.s.door.CheckAs(identityv1.UserService_CreateUser_FullMethodName, &identityv1.CreateUserRequest{User: in})
	if err != nil {
		return err
	}
	checkPerson(found, "user.", in, func(string) bool { return true })
	if len(cells[columnRoles]) > maxRolesOfUser {
		found.Add("roles", "repeated.max_items", "must have fewer items")
	}
	checkAssigned(found, "roles", len(cells[columnRoles])+len(cells[columnPermissions]))
	checkPassedOver(found, cells)
	hash := cells[columnPasswordHash].Text()
	if hash != "" && im.s.hasher.CheckHash(hash) != nil {
		found.Add("password_hash", "hash", "must be of a known format, of bounded cost")
	}
	if err := found.OrNil(); err != nil {
		return err
	}
	address, _ := contact.ParseEmail(in.GetEmail())
	now := store.At(im.s.Now())
	row.roles, row.add.Keys = cells[columnRoles], cells[columnPermissions]
	row.user = store.User{
		ID: im.s.NewID(), Email: address.Text, EmailKey: address.Key, PasswordHash: hash,
		Confirmed: confirmed, Enabled: cells[columnEnabled].Text() != "false",
		Epoch: now, Version: 1, Created: now, Updated: now,
	}
	SetName(&row.user, in.GetFirstName(), in.GetLastName())
	return nil
}

// checkPassedOver refuses cells that hold several lines where nothing else looks
// at them: an open quote would hide rows in there.
func checkPassedOver(found *answer.Refusal, cells []table.Cell) {
	for _, column := range []int{columnID, columnState, columnPhone, columnCreateTime, columnCreatedBy, columnUpdateTime, columnLastSignInTime} {
		if strings.ContainsAny(cells[column].Text(), "\r\n") {
			found.Add(importColumns[column].Name, "one_line", "must be on one line")
		}
	}
}

// maxRolesOfUser is that of the contract.
const maxRolesOfUser = 100

// judge refuses the rows that ask for what the caller may not give (RG-02):
// each is held against the caller's rights like a CreateUser.
func judge(tx *change.Tx, rows []*importRow) {
	names := namesOfRoles(tx.Catalogue, tx.Org.ID, tx.By.Platform)
	verdicts := map[string]error{} // many rows ask for the same
	for _, row := range rows {
		row.add.Roles = names.readAll(row.roles)
		key := strings.Join(row.add.Roles, ",") + " " + strings.Join(row.add.Keys, ",")
		verdict, known := verdicts[key]
		if !known {
			verdict = tx.MustGrant(row.add)
			verdicts[key] = verdict
		}
		switch {
		case errors.Is(verdict, answer.ErrNotFound):
			row.refuse(identityv1.Error_NOT_FOUND.String(), noRoles(tx, names, row.roles)...)
		case verdict != nil:
			row.refuseFor(verdict)
		case row.user.Confirmed && !tx.MayConfirm():
			row.refuseFor(answer.ErrConfirmNotAllowed)
		}
	}
}

// noRoles says which of the texts of a row name no role, or more than one.
func noRoles(tx *change.Tx, names roleNames, texts []string) (violations []string) {
	for _, text := range texts {
		role, known := tx.Catalogue.RoleByID[names.read(text)]
		if known && tx.Catalogue.Visible(role, tx.Org.ID, tx.By.Platform) {
			continue
		}
		wrong := "unknown "
		if id, several := names[contact.Fold(text)]; several && id == "" {
			wrong = "several are called "
		}
		violations = append(violations, "roles: "+wrong+table.Shown(text))
	}
	return violations
}

// findHolders settles the rows whose addresses somebody of the organization
// has, deleted or not, and returns which of the others are confirmed elsewhere.
func findHolders(ctx context.Context, tx *change.Tx, rows []*importRow) (taken map[string]bool, err error) {
	keys := make([]string, len(rows))
	for i, row := range rows {
		keys[i] = row.user.EmailKey
	}
	holders, err := tx.AddressHolders(ctx, tx.Org.ID, keys)
	if err != nil {
		return nil, err
	}
	confirmed, err := tx.FindAll(ctx, store.ConfirmedEmail, keys)
	if err != nil {
		return nil, err
	}
	taken = map[string]bool{}
	for _, e := range confirmed {
		taken[e.Key] = true
	}
	here := map[string]store.AddressHolder{}
	for _, h := range holders {
		here[h.Key] = h
	}
	for _, row := range rows {
		switch h, known := here[row.user.EmailKey]; {
		case !known:
		case h.Deleted:
			row.refuseFor(answer.ErrEmailTaken)
			if tx.By.Has(perm.UsersRead) {
				row.status.Id = h.ID
			}
		default:
			row.settled(identityv1.ImportUsersResponse_Row_EXISTS, h.ID)
		}
	}
	return taken, nil
}

// tellHolders refuses the rows whose addresses are confirmed elsewhere, as many
// as may be told. From the first that may not, every row is refused alike, so
// that it tells nothing; the error says so, and when to go on.
func (im *importing) tellHolders(ctx context.Context, tx *change.Tx, rows []*importRow, taken map[string]bool) (refused, err error) {
	var elsewhere []int
	for i, row := range rows {
		if taken[row.user.EmailKey] && row.status.GetOutcome() == identityv1.ImportUsersResponse_Row_OUTCOME_UNSPECIFIED {
			elsewhere = append(elsewhere, i)
		}
	}
	if len(elsewhere) == 0 {
		return nil, nil
	}
	tx.Keep() // what was learned from a dry run counts too
	told, refused, err := im.s.availability.learn(ctx, tx, len(elsewhere))
	if err != nil {
		return nil, err
	}
	for _, i := range elsewhere[:told] {
		rows[i].refuseFor(answer.ErrEmailTaken)
	}
	if told < len(elsewhere) {
		for _, row := range rows[elsewhere[told]:] {
			row.refuseFor(answer.ErrRateLimited)
		}
	}
	return refused, nil
}

// pairTwins finds the rows that repeat the address of an earlier one.
func pairTwins(rows []*importRow) {
	first := make(map[string]*importRow, len(rows))
	for _, row := range rows {
		if row.twin = first[row.user.EmailKey]; row.twin == nil {
			first[row.user.EmailKey] = row
		}
	}
}

// addImported writes the rows that are left, with a statement for many, and an
// event for each, and a mail where that is wanted.
func (im *importing) addImported(ctx context.Context, tx *change.Tx, rows []*importRow, invite bool) error {
	if err := claimEmails(ctx, tx, rows); err != nil {
		return err
	}
	var users, invited []store.User
	var grants []store.Grant
	for _, row := range open(rows) {
		if row.twin != nil {
			continue
		}
		u := row.user
		u.Org, u.CreatedBy = tx.Org.ID, tx.By.ID
		// Who vouches for addresses vouches for passwords too: others may have
		// made the one behind the hash themselves.
		u.PasswordInitial = u.PasswordHash != "" && !tx.MayConfirm()
		users = append(users, u)
		if invite && u.Enabled && u.NeedsLink() {
			invited = append(invited, u)
		}
		g := store.Grant{Org: u.Org, Principal: u.ID, Created: tx.Now, CreatedBy: tx.By.ID}
		for _, g.Role = range row.add.Roles {
			grants = append(grants, g)
		}
		g.Role = ""
		for _, g.Permit = range row.add.Keys {
			grants = append(grants, g)
		}
		tx.Note(store.EventUserCreated, u.ID, row.add.Data())
		row.settled(identityv1.ImportUsersResponse_Row_CREATED, u.ID)
	}
	if err := tx.AddUsers(ctx, users); err != nil {
		return err
	}
	if err := tx.AddGrants(ctx, grants); err != nil {
		return err
	}
	withheld, err := im.s.letters.Invite(ctx, tx, tx.Org, invited...)
	sent := map[string]bool{}
	for _, u := range invited {
		sent[u.ID] = true
	}
	for _, row := range rows {
		row.status.ActivationSent = sent[row.user.ID] && withheld[row.user.ID] == 0
		if withheld[row.user.ID] != 0 { // created, without a mail
			row.status.Reason = identityv1.Error_RATE_LIMITED.String()
		}
	}
	return err
}

// claimEmails takes the addresses of confirmed rows in the whole service. One
// that another organization took this very moment is refused.
func claimEmails(ctx context.Context, tx *change.Tx, rows []*importRow) error {
	var entries []store.Entry
	var keys []string
	for _, row := range rows {
		if row.user.Confirmed && row.twin == nil {
			keys = append(keys, row.user.EmailKey)
			entries = append(entries, store.Entry{Kind: store.ConfirmedEmail, Key: row.user.EmailKey, Org: tx.Org.ID, ID: row.user.ID})
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if err := tx.EnlistFree(ctx, entries); err != nil {
		return err
	}
	present, err := tx.FindAll(ctx, store.ConfirmedEmail, keys)
	if err != nil {
		return err
	}
	owner := make(map[string]string, len(present))
	for _, e := range present {
		owner[e.Key] = e.ID
	}
	for _, row := range rows {
		if row.user.Confirmed && row.twin == nil && owner[row.user.EmailKey] != row.user.ID {
			row.refuseFor(answer.ErrEmailTaken)
		}
	}
	return nil
}
