// Command protodeps prints the third-party .proto files that ours import
// (google/api, google/rpc, buf/validate, the OpenAPI options) out of the
// descriptors linked into their Go packages. So they are always as new as the
// Go code they belong to, and nothing is fetched or copied by hand.
//
// Usage: protodeps FOLDER
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jhump/protoreflect/desc"
	"github.com/jhump/protoreflect/desc/protoprint"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	_ "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2/options"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	_ "google.golang.org/genproto/googleapis/rpc/status"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: protodeps FOLDER")
		os.Exit(2)
	}
	if err := printAll(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "protodeps:", err)
		os.Exit(1)
	}
}

// printAll writes every linked file except google/protobuf, which buf brings.
func printAll(folder string) error {
	printer := &protoprint.Printer{}
	var failed error
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(f.Path(), "google/protobuf/") {
			return true
		}
		failed = printOne(printer, folder, f)
		return failed == nil
	})
	return failed
}

func printOne(printer *protoprint.Printer, folder string, f protoreflect.FileDescriptor) error {
	wrapped, err := desc.WrapFile(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path(), err)
	}
	text, err := printer.PrintProtoToString(wrapped)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path(), err)
	}
	path := filepath.Join(folder, filepath.FromSlash(f.Path()))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
