package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bizmetry/identity/store/storetest"
)

// An export replaces nothing unless it is told to, and leaves nothing behind
// where it fails.
func TestUsersExport_File(t *testing.T) {
	t.Setenv("IDENTITY_DATABASE_URL", storetest.SQLite(t))
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv(tokenEnv, "")
	s := serve(t)
	t.Setenv("IDENTITY_ADDR", s.grpc)
	expect(t, "signed in", 0, "admin@example.com\n"+s.password+"\n", "login")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(at("folder"), 0o700), os.WriteFile(at("kept.csv"), []byte("kept"), 0o600), os.WriteFile(at("old.csv"), []byte("old"), 0o600),
		os.Symlink("old.csv", at("link.csv")), os.Symlink("nothing.csv", at("dangling.csv"))); err != nil {
		t.Fatal(err)
	}
	before := listed(t, dir)

	for _, row := range []struct{ file, want string }{
		{"folder", "is a folder"},
		{"folder/", "is a folder"},
		{"kept.csv", "is there already: --force replaces it"},
		{"kept.csv/", "not a directory"},
		{"link.csv", "is there already"},
		{"dangling.csv", "leads nowhere"},
		{"none/people.csv", "no such file"},
		{"none/", "no such file"},
	} {
		expect(t, row.want, 1, "", "users", "export", dir+"/"+row.file)
	}
	expect(t, "is a folder", 1, "", "users", "export", "--force", at("folder"))
	expect(t, "INVALID_FIELDS", 1, "", "users", "export", "--bom", at("marked.jsonl"))
	expect(t, "NOT_FOUND", 1, "", "users", "export", "--force", "--role-id=00000000-0000-7000-8000-00000000ffff", at("kept.csv"))
	if after := listed(t, dir); after != before {
		t.Errorf("%s became %s", before, after)
	}

	for _, row := range []struct{ name, begin string }{{"new.csv", "\ufeffid,email,"}, {"new.jsonl", `{"id":`}} {
		expect(t, "", 0, "", "users", "export", at(row.name))
		if text, err := os.ReadFile(at(row.name)); err != nil || !strings.HasPrefix(string(text), row.begin) {
			t.Errorf("%s: %.20q, %v", row.name, text, err)
		}
	}
	expect(t, "", 0, "", "users", "export", "--no-bom", "--force", at("link.csv"))
	if text, err := os.ReadFile(at("old.csv")); err != nil || !bytes.HasPrefix(text, []byte("id,email,")) {
		t.Errorf("%.20q, %v", text, err)
	}
	expect(t, "", 0, "", "users", "export", os.DevNull)
	if want := strings.Replace(before, " old.csv", " new.csv new.jsonl old.csv", 1); listed(t, dir) != want {
		t.Errorf("%s became %s", before, listed(t, dir))
	}
	if info, err := os.Lstat(at("link.csv")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}

	expect(t, "is a folder", 1, "", "users", "import", at("folder"))
	expect(t, "1 rows: 0 created, 1 there already, 0 refused", 0, "", "users", "import", at("new.csv"))
	expect(t, "2 rows from line 2 on were not read", 1, "email,first_name,last_name,roles\na@example.com,\"A,B,Agent\nb@example.com,A,B,Agent\n", "users", "import", "-")
	expect(t, "Excel workbook (.xlsx). Save it as CSV UTF-8", 1, "PK\x03\x04 xl/", "users", "import", "-")
}

// listed are the names in a folder.
func listed(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// Whoever takes the name while an export goes on keeps it.
func TestTarget_Taken(t *testing.T) {
	name := filepath.Join(t.TempDir(), "people.csv")
	file, err := createTarget(name, false)
	if err == nil {
		err = os.WriteFile(name, []byte("other"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := file.end(nil); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "other" || listed(t, filepath.Dir(name)) != "people.csv" {
		t.Errorf("%s, %v, %s", text, err, listed(t, filepath.Dir(name)))
	}
	if _, err := createTarget("", false); err == nil {
		t.Error("a file without a name")
	}
}
