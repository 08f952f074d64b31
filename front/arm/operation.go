package arm

import (
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// operationBody is where an operation stands (Azure Resource Manager docs,
// "Track asynchronous Azure operations").
type operationBody struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	ResourceID string              `json:"resourceId"`
	Status     operation.Status    `json:"status"`
	StartTime  string              `json:"startTime"`
	EndTime    string              `json:"endTime,omitempty"`
	Percent    float64             `json:"percentComplete"`
	Properties operationProperties `json:"properties"`
	Error      *failure            `json:"error,omitempty"`
}

// operationProperties are ours: what it does at the moment.
type operationProperties struct {
	Kind  string               `json:"kind"`
	Steps []operation.Progress `json:"steps"`
}

func shapeOperation(op operation.Operation, id string) operationBody {
	b := operationBody{
		ID: id, Name: op.ID, ResourceID: op.Resource, Status: op.Status, StartTime: moment(op.Created),
		Properties: operationProperties{op.Kind, append([]operation.Progress{}, op.Steps...)},
	}
	done := 0
	for _, s := range op.Steps {
		if s.Status.Ended() {
			done++
		}
	}
	if op.Status.Ended() {
		b.EndTime, b.Percent = moment(op.Ended), 100
	} else if len(op.Steps) > 0 {
		b.Percent = float64(100 * done / len(op.Steps))
	}
	if op.Error != nil {
		b.Error = &failure{Code: op.Error.Code, Message: op.Error.Message, Target: op.Error.Step}
	}
	return b
}

// operation reads the one in the path, if it is of this subscription and of a
// resource that the principal may see.
func (a *api) operation(q *request) (operation.Operation, error) {
	id := q.vars["operation"]
	op, err := a.Operations.Get(q.Context(), id)
	if err != nil && fault.Of(err) != fault.NotFound {
		return op, err
	}
	within := strings.HasPrefix(strings.ToLower(op.Resource), strings.ToLower(subscription.Path(q.vars["subscription"]))+"/")
	if err != nil || !within || !q.access.May(op.Resource, "Microsoft.Resources/operations/read") {
		return op, fail(http.StatusNotFound, "ResourceNotFound", "The operation '%s' was not found.", door.Printable(id))
	}
	return op, nil
}

// operationStatus answers 200 as long as there is something to tell: what
// became of the operation is in the body.
func (a *api) operationStatus(q *request) (answer, error) {
	op, err := a.operation(q)
	if err != nil {
		return answer{}, err
	}
	ans := answer{Status: http.StatusOK, Body: shapeOperation(op, q.path), Header: map[string]string{}}
	if !op.Status.Ended() {
		ans.Header["Retry-After"] = door.Seconds(a.RetryAfter)
	}
	return ans, nil
}

// operationResult is the older way to wait: 202 until it has ended.
func (a *api) operationResult(q *request) (answer, error) {
	op, err := a.operation(q)
	if err != nil {
		return answer{}, err
	}
	switch {
	case !op.Status.Ended():
		return answer{Status: http.StatusAccepted, Header: map[string]string{"Location": a.URL + q.URL.RequestURI(), "Retry-After": door.Seconds(a.RetryAfter)}}, nil
	case op.Status == operation.Succeeded:
		return answer{Status: http.StatusNoContent}, nil
	}
	f := fail(http.StatusConflict, "OperationFailed", "The operation ended as '%s'.", op.Status)
	if op.Error != nil {
		f.Code, f.Message, f.Target = op.Error.Code, op.Error.Message, op.Error.Step
	}
	return answer{}, f
}

// cancelOperation asks an operation to stop: an addition of ours. Who may
// change the resource may.
func (a *api) cancelOperation(q *request) (answer, error) {
	op, err := a.operation(q)
	if err != nil {
		return answer{}, err
	}
	if err := q.access.Check(op.Resource, gatewayType+"/write"); err != nil {
		return answer{}, err
	}
	if err := a.Operations.Cancel(q.Context(), op.ID); err != nil {
		return answer{}, err
	}
	return answer{Status: http.StatusAccepted, Header: map[string]string{"Retry-After": door.Seconds(a.RetryAfter)}}, nil
}
