package answer

import (
	"testing"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
)

func TestAnswers_EveryReasonOnceWithOneCode(t *testing.T) {
	code := map[identityv1.Error_Reason]codes.Code{}
	for _, a := range answers {
		if former, ok := code[a.reason]; ok && former != a.code {
			t.Errorf("%v is answered as %v and %v", a.reason, former, a.code)
		}
		code[a.reason] = a.code
	}
	for number, name := range identityv1.Error_Reason_name {
		reason := identityv1.Error_Reason(number)
		if _, ok := code[reason]; !ok && reason != identityv1.Error_REASON_UNSPECIFIED && reason != identityv1.Error_INTERNAL {
			t.Errorf("nothing is answered with %s", name)
		}
	}
}
