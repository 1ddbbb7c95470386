package web_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/web"
)

// users is a service whose one RPC a test writes.
type users struct {
	identityv1.UnimplementedUserServiceServer
	get func(context.Context, *identityv1.GetUserRequest) (*identityv1.User, error)
}

func (u users) GetUser(ctx context.Context, req *identityv1.GetUserRequest) (*identityv1.User, error) {
	return u.get(ctx, req)
}

type key struct{}

func TestChannel(t *testing.T) {
	var order []string
	door := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		order = append(order, "door"+info.FullMethod)
		return next(ctx, req)
	}
	req, kept := &identityv1.GetUserRequest{Id: "a"}, &identityv1.User{Roles: []*identityv1.GrantedRole{{Name: "r"}}}
	conn := web.NewChannel(door)
	identityv1.RegisterUserServiceServer(conn, users{get: func(ctx context.Context, in *identityv1.GetUserRequest) (*identityv1.User, error) {
		order = append(order, "method")
		md, _ := metadata.FromIncomingContext(ctx)
		p, _ := peer.FromContext(ctx)
		if len(md.Get("x")) != 1 || p.Addr.String() != "192.0.2.1:7" {
			t.Errorf("metadata %v, peer %v", md, p)
		}
		if _, out := metadata.FromOutgoingContext(ctx); out || ctx.Value(key{}) != nil {
			t.Error("a value of the client crossed")
		}
		if in == req || !proto.Equal(in, req) {
			t.Errorf("got %v, same: %v", in, in == req)
		}
		in.Id = "changed"
		if name, _ := grpc.Method(ctx); name != identityv1.UserService_GetUser_FullMethodName {
			t.Errorf("method %q", name)
		}
		return kept, errors.Join(grpc.SetHeader(ctx, metadata.Pairs("h", "1")), grpc.SetHeader(ctx, metadata.Pairs("h", "2")),
			grpc.SetTrailer(ctx, metadata.Pairs("t", "3")))
	}})
	ctx := peer.NewContext(context.WithValue(t.Context(), key{}, "v"), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7}})
	ctx = metadata.AppendToOutgoingContext(ctx, "x", "y")
	var header, trailer metadata.MD
	u, err := identityv1.NewUserServiceClient(conn).GetUser(ctx, req, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || u == kept || !proto.Equal(u, kept) || req.GetId() != "a" {
		t.Errorf("answer %v, request %v, %v", u, req, err)
	}
	if !slices.Equal(header.Get("h"), []string{"1", "2"}) || !slices.Equal(trailer.Get("t"), []string{"3"}) {
		t.Errorf("header %v, trailer %v", header, trailer)
	}
	if want := []string{"door" + identityv1.UserService_GetUser_FullMethodName, "method"}; !slices.Equal(order, want) {
		t.Errorf("ran %v", order)
	}
}

func TestChannel_Ends(t *testing.T) {
	conn := web.NewChannel(nil)
	identityv1.RegisterUserServiceServer(conn, users{get: func(ctx context.Context, _ *identityv1.GetUserRequest) (*identityv1.User, error) {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}})
	client := identityv1.NewUserServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.GetUser(ctx, &identityv1.GetUserRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("after the deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := client.GetUser(ctx, &identityv1.GetUserRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("after cancel: %v", err)
	}
}

func TestChannel_Refuses(t *testing.T) {
	conn := web.NewChannel(nil)
	err := conn.Invoke(t.Context(), "/bizmetry.identity.v1.UserService/Nothing", &identityv1.GetUserRequest{}, &identityv1.User{})
	servicetest.Refused(t, err, codes.Unimplemented, identityv1.Error_UNKNOWN_METHOD)
	_, err = conn.NewStream(t.Context(), &grpc.StreamDesc{}, "/bizmetry.identity.v1.UserService/GetUser")
	servicetest.Refused(t, err, codes.Unimplemented, identityv1.Error_UNKNOWN_METHOD)
}
