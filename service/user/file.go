package user

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/id"
	"github.com/bizmetry/identity/service/table"
)

// Columns of a file of people, in their order. docs/files.md describes them.
const (
	columnID = iota
	columnEmail
	columnFirstName
	columnLastName
	columnConfirmed
	columnEnabled
	columnState
	columnRoles
	columnPermissions
	columnPhone
	columnPhoneVerified
	columnCreateTime
	columnCreatedBy
	columnUpdateTime
	columnLastSignInTime
	columnPasswordHash // of an import only
)

// importColumns are those that an import takes: all of an export, so that one
// can be read in again, and a hash.
var importColumns = []table.Column{
	columnID:             {Name: "id"},
	columnEmail:          {Name: "email", Required: true},
	columnFirstName:      {Name: "first_name"},
	columnLastName:       {Name: "last_name"},
	columnConfirmed:      {Name: "confirmed", Flag: true},
	columnEnabled:        {Name: "enabled", Flag: true},
	columnState:          {Name: "state"},
	columnRoles:          {Name: "roles", List: true},
	columnPermissions:    {Name: "permissions", List: true},
	columnPhone:          {Name: "phone"},
	columnPhoneVerified:  {Name: "phone_verified", Flag: true},
	columnCreateTime:     {Name: "create_time"},
	columnCreatedBy:      {Name: "created_by"},
	columnUpdateTime:     {Name: "update_time"},
	columnLastSignInTime: {Name: "last_sign_in_time"},
	columnPasswordHash:   {Name: "password_hash"},
}

// exportColumns are those of an export.
var exportColumns = importColumns[:columnPasswordHash]

// formatOf is the format of a file, CSV where none is named.
func formatOf(f identityv1.UserFile_Format) table.Format {
	if f == identityv1.UserFile_JSON_LINES {
		return table.JSONLines
	}
	return table.CSV
}

// userCells is a person as a row of an export.
func userCells(u *identityv1.User, names roleNames) []table.Cell {
	row := []table.Cell{
		columnID:             {u.GetId()},
		columnEmail:          {u.GetEmail()},
		columnFirstName:      {u.GetFirstName()},
		columnLastName:       {u.GetLastName()},
		columnConfirmed:      flagCell(u.GetConfirmed()),
		columnEnabled:        flagCell(u.GetEnabled()),
		columnState:          {u.GetState().String()},
		columnRoles:          nil,
		columnPermissions:    u.GetPermissionKeys(),
		columnPhone:          textCell(u.GetPhone()),
		columnPhoneVerified:  flagCell(u.GetPhoneVerified()),
		columnCreateTime:     timeCell(u.GetCreateTime()),
		columnCreatedBy:      textCell(u.GetCreatedBy()),
		columnUpdateTime:     timeCell(u.GetUpdateTime()),
		columnLastSignInTime: timeCell(u.GetLastSignInTime()),
	}
	for _, role := range u.GetRoles() {
		row[columnRoles] = append(row[columnRoles], names.write(role))
	}
	return row
}

func textCell(text string) table.Cell {
	if text == "" {
		return nil
	}
	return table.Cell{text}
}

func flagCell(flag bool) table.Cell {
	if flag {
		return table.Cell{"true"}
	}
	return table.Cell{"false"}
}

func timeCell(at *timestamppb.Timestamp) table.Cell {
	if at == nil {
		return nil
	}
	return table.Cell{at.AsTime().Format(time.RFC3339Nano)}
}

// roleNames finds the roles of an organization by their folded names; of a
// name that several have, the id is "".
type roleNames map[string]string

func namesOfRoles(cat *authority.Catalogue, org string, platform bool) roleNames {
	names := roleNames{}
	for _, r := range cat.Roles {
		if !cat.Visible(r, org, platform) {
			continue
		}
		if _, twice := names[r.NameKey]; twice {
			names[r.NameKey] = ""
			continue
		}
		names[r.NameKey] = r.ID
	}
	return names
}

// write is how a file names a role: by its name, where read finds it by that.
func (names roleNames) write(r *identityv1.GrantedRole) string {
	if names[contact.Fold(r.GetName())] != r.GetId() || strings.Contains(r.GetName(), table.Separator) || id.Valid(r.GetName()) {
		return r.GetId()
	}
	return r.GetName()
}

// read finds the role that a file names, by id or by name. What is neither
// comes back as no role's id.
func (names roleNames) read(text string) string {
	if id.Valid(text) {
		return text
	}
	return names[contact.Fold(text)]
}

// readAll reads a list of roles, each once.
func (names roleNames) readAll(texts []string) (ids []string) {
	for _, text := range texts {
		if role := names.read(text); !slices.Contains(ids, role) {
			ids = append(ids, role)
		}
	}
	return ids
}
