package service

import (
	"google.golang.org/grpc"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

func (s *Service) ExportUsers(*identityv1.ExportUsersRequest, grpc.ServerStreamingServer[identityv1.ExportUsersResponse]) error {
	return errUnknownMethod
}

func (s *Service) ImportUsers(grpc.BidiStreamingServer[identityv1.ImportUsersRequest, identityv1.ImportUsersResponse]) error {
	return errUnknownMethod
}
