"""The shop's CDK app: what it keeps, and the service that works with it."""

import os

import aws_cdk as cdk

from stacks.data import ShopData
from stacks.service import ShopService

app = cdk.App()
# The CDK CLI puts the account and region of the credentials it was given here.
environment = cdk.Environment(
    account=os.environ.get("CDK_DEFAULT_ACCOUNT"), region=os.environ.get("CDK_DEFAULT_REGION")
)
data = ShopData(app, "ShopData", env=environment)
ShopService(app, "ShopService", orders=data.orders, receipts=data.receipts, env=environment)
app.synth()
