"""POST /v1/accounts/{account}/check and /size: what speaks against an order, and how large it should be."""

import flask

from stopline.model.order import Order
from stopline.model.wire import validate
from stopline.runtime.app import App
from stopline.runtime.auth import Principal
from stopline.runtime.bodies import json_body
from stopline.runtime.problems import Answer, answer
from stopline.service.orders.size_order import SizeRequest


def check(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    """Answer with the decision on an order: 200 whether it is approved or not."""
    return answer(200, app.order_desk.check(name, validate(Order, json_body(request))))


def size(request: flask.Request, app: App, principal: Principal, name: str) -> Answer:
    """Answer with the size of an order, and the check of that size."""
    return answer(200, app.order_sizer.size(name, validate(SizeRequest, json_body(request))))
