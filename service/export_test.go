package service

import (
	"context"
)

// Flush writes at once what is written every second.
func (s *Service) Flush(ctx context.Context) { s.flush(ctx) }
