// Package gen carries what is made of the contract besides Go: the OpenAPI
// document, and the descriptors with the comments of the .proto files. This
// file is the only one in the folder that is written by hand.
package gen

import _ "embed"

// OpenAPI is the description of the REST mirror (OpenAPI 2.0, YAML).
//
//go:embed openapi/identity.swagger.yaml
var OpenAPI []byte

// Descriptors is a google.protobuf.FileDescriptorSet of our own files, without
// what they import, with source information.
//
//go:embed descriptors.binpb
var Descriptors []byte
