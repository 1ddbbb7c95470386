package web

import (
	"net/http"

	"google.golang.org/grpc"
)

// What tests reach inside.
var (
	ParseForm  = parseForm
	ParseBasic = parseBasic
)

// Channel is a connection that services register with.
type Channel interface {
	grpc.ClientConnInterface
	grpc.ServiceRegistrar
}

// NewChannel makes a channel of its own.
func NewChannel(door grpc.UnaryServerInterceptor) Channel {
	return &channel{methods: map[string]method{}, streams: map[string]streamMethod{}, unary: door}
}

// Route is a path of the contract.
type Route struct{ Method, Path, RPC, Body string }

// Routes lists all paths of the contract.
func Routes() (all []Route, err error) {
	own, err := readRoutes()
	for _, rt := range own {
		all = append(all, Route{rt.method, rt.path, string(rt.rpc.FullName()), rt.body})
	}
	return all, err
}

// Add gives a handler of New another path.
func Add(h http.Handler, path string, handle http.HandlerFunc) {
	h.(*port).fixed[path] = endpoint{http.MethodGet: handle}
}
